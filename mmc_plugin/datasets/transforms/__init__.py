from .gmml import GMMLMask, sample_block_mask
from .loading import LoadImage, UnreadableImageError
from .packing import PackViews
from .prompts import DrawPrompts, PackPrompts
from .views import (
    ViewColorJitter,
    ViewCrop,
    ViewFlip,
    ViewGaussianBlur,
    ViewGrayscale,
    ViewSolarize,
)

__all__ = [
    'DrawPrompts',
    'GMMLMask',
    'LoadImage',
    'PackPrompts',
    'PackViews',
    'UnreadableImageError',
    'ViewColorJitter',
    'ViewCrop',
    'ViewFlip',
    'ViewGaussianBlur',
    'ViewGrayscale',
    'ViewSolarize',
    'sample_block_mask',
]
