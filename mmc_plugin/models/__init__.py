from .backbones import PretrainedViT
from .backbones.patch_colour import PatchColour
from .features import FrozenFeatures
from .heads import GlobalContrastHead, PatchContrastHead, PixelReconstructionHead
from .selfsup import MMC
from .utils import ViewDataPreprocessor
from .video_propagation import VideoPropagation

__all__ = [
    'MMC',
    'FrozenFeatures',
    'GlobalContrastHead',
    'PatchColour',
    'PatchContrastHead',
    'PixelReconstructionHead',
    'PretrainedViT',
    'VideoPropagation',
    'ViewDataPreprocessor',
]
