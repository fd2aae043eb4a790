"""Detection and instance segmentation with a plain vision transformer, in mmdetection.

Importing the package registers its parts in mmdetection's registries, and those of ``mmc_plugin``
in mmpretrain's, so that ``custom_imports = dict(imports=['mmc_plugin.detection'])`` is all that a
project needs.
"""

from ..errors import MissingPackageError
from ..version import import_quietly

try:
    import_quietly('mmdet')
    for _part in ('datasets', 'engine', 'evaluation', 'models', 'visualization'):
        import_quietly(f'mmdet.{_part}')
except ModuleNotFoundError as error:
    if error.name not in ('mmdet', 'mmcv._ext'):
        raise
    what = dict(mmdet='mmdetection').get(error.name, "mmcv's compiled operators")
    raise MissingPackageError(
        f'mmc_plugin.detection needs {what}, which is not installed: docs/install.md says how '
        '("Detection"), and bash tools/run_tests.sh --ops makes an environment with both.'
    ) from error

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
