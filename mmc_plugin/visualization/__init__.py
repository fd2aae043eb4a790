from .curves import training_curves
from .layers import layer_panel, layer_reconstructions
from .page import write_page
from .panels import reconstruction_panel
from .run_log import read_scalars, series
from .samples import sample_sheet
from .similarity_map import similarity_panel

__all__ = [
    'layer_panel',
    'layer_reconstructions',
    'read_scalars',
    'reconstruction_panel',
    'sample_sheet',
    'series',
    'similarity_panel',
    'training_curves',
    'write_page',
]
