from .dense_grid import shifted_features
from .grid_points import cell_centres, centre_prompts, draw_prompts
from .image_frame import ImageFrame, canvas_size

__all__ = [
    'ImageFrame',
    'canvas_size',
    'cell_centres',
    'centre_prompts',
    'draw_prompts',
    'shifted_features',
]
