from .curves import training_curves
from .layers import layer_panel
from .page import write_page
from .panels import reconstruction_panel
from .patch_pictures import cluster_picture, patch_panel
from .run_log import read_scalars, series
from .samples import sample_sheet
from .similarity_map import similarity_panel
from .video import contact_sheet, draw_objects, write_video
from .zero_shot import (
    Click,
    case_sheet,
    click_panel,
    similarity_histograms,
    threshold_curves,
)

__all__ = [
    'Click',
    'case_sheet',
    'click_panel',
    'cluster_picture',
    'contact_sheet',
    'draw_objects',
    'layer_panel',
    'patch_panel',
    'read_scalars',
    'reconstruction_panel',
    'sample_sheet',
    'series',
    'similarity_histograms',
    'similarity_panel',
    'threshold_curves',
    'training_curves',
    'write_page',
    'write_video',
]
