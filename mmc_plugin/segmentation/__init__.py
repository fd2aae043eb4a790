"""Frozen linear segmentation (arXiv 2308.11448, Table 3) in mmsegmentation.

Importing the package registers its parts in mmsegmentation's registries, and those of
``mmc_plugin`` in mmpretrain's, so that
``custom_imports = dict(imports=['mmc_plugin.segmentation'])`` is all that a project needs.
"""

from ..hosts import import_quietly, needing_host

with needing_host('mmseg', 'mmc_plugin.segmentation'):
    import_quietly('mmseg')
    import_quietly('mmseg.datasets')

from .cached import CachedEncoderDecoder
from .camvid import CamVidDataset
from .checks import CheckLabels, checked_dataset
from .hooks import SegmentationPanelHook, SegmentationReportHook
from .linear_head import LinearHead
from .metric import ClassIoUMetric
from .nearest_patches import NearestPatchSegmentor
from .panel import segmentation_panel

__all__ = [
    'CachedEncoderDecoder',
    'CamVidDataset',
    'CheckLabels',
    'ClassIoUMetric',
    'LinearHead',
    'NearestPatchSegmentor',
    'SegmentationPanelHook',
    'SegmentationReportHook',
    'checked_dataset',
    'segmentation_panel',
]
