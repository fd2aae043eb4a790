from .global_contrast import GlobalContrastHead
from .patch_contrast import PatchContrastHead
from .projection import ProjectionMLP
from .prototypes import PrototypeHead
from .reconstruction import PixelReconstructionHead

__all__ = [
    'GlobalContrastHead',
    'PatchContrastHead',
    'PixelReconstructionHead',
    'ProjectionMLP',
    'PrototypeHead',
]
