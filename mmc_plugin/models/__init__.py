from .heads import GlobalContrastHead, PatchContrastHead, PixelReconstructionHead
from .selfsup import MMC
from .utils import ViewDataPreprocessor

__all__ = [
    'MMC',
    'GlobalContrastHead',
    'PatchContrastHead',
    'PixelReconstructionHead',
    'ViewDataPreprocessor',
]
