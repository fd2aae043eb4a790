from .block_mask import BlockMask, sample_cells
from .draw_colours import DrawColours
from .gmml import GMMLMask, sample_block_mask
from .load_views import LoadViews
from .loading import LoadImage, UnreadableImageError
from .packing import PackViews
from .patch_drop import PatchDrop
from .prompts import DrawPrompts, PackPrompts
from .regions import RegionViews
from .three_augment import ThreeAugment
from .views import (
    ViewColorJitter,
    ViewCrop,
    ViewFlip,
    ViewGaussianBlur,
    ViewGrayscale,
    ViewSolarize,
)

__all__ = [
    'BlockMask',
    'DrawColours',
    'DrawPrompts',
    'GMMLMask',
    'LoadImage',
    'LoadViews',
    'PackPrompts',
    'PackViews',
    'PatchDrop',
    'RegionViews',
    'ThreeAugment',
    'UnreadableImageError',
    'ViewColorJitter',
    'ViewCrop',
    'ViewFlip',
    'ViewGaussianBlur',
    'ViewGrayscale',
    'ViewSolarize',
    'sample_block_mask',
    'sample_cells',
]
