"""Detection and instance segmentation with a plain vision transformer, in mmdetection.

Importing the package registers its parts in mmdetection's registries, and those of ``mmc_plugin``
in mmpretrain's, so that ``custom_imports = dict(imports=['mmc_plugin.detection'])`` is all that a
project needs.
"""

from ..hosts import import_quietly, needing_host

with needing_host('mmdet', 'mmc_plugin.detection'):
    for _part in ('datasets', 'engine', 'evaluation', 'models', 'visualization'):
        import_quietly(f'mmdet.{_part}')

from mmdet.registry import MODELS

from ..models import DetectionViT, SimpleFPN
from .coco import CheckedCocoDataset
from .hooks import DetectionReportHook, DetectorCheckHook

for _module in (DetectionViT, SimpleFPN):
    if _module.__name__ not in MODELS.module_dict:
        MODELS.register_module(module=_module)

__all__ = [
    'CheckedCocoDataset',
    'DetectionReportHook',
    'DetectionViT',
    'DetectorCheckHook',
    'SimpleFPN',
]
