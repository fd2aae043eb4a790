from .gmml import GMMLMask, sample_block_mask
from .loading import LoadImage, UnreadableImageError
from .packing import PackViews
from .views import (
    ViewColorJitter,
    ViewCrop,
    ViewFlip,
    ViewGaussianBlur,
    ViewGrayscale,
    ViewSolarize,
)

__all__ = [
    'GMMLMask',
    'LoadImage',
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
