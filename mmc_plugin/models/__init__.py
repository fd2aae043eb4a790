from .backbones import DetectionViT, PretrainedViT
from .backbones.patch_colour import PatchColour
from .features import FrozenFeatures
from .heads import (
    AttentiveClsHead,
    GlobalContrastHead,
    MaskPredictionHead,
    PatchContrastHead,
    PixelReconstructionHead,
    ProjectionMLP,
    PrototypeHead,
    TokenClsHead,
)
from .necks import SimpleFPN
from .selfsup import DINO, IBOT, MCSSL, MMC, MSN, MaskCo, SiT, ViewMAE, ViewMoCoV3
from .utils import ViewDataPreprocessor
from .video_propagation import VideoPropagation
from .vit_classifier import ViTClassifier

__all__ = [
    'DINO',
    'DetectionViT',
    'IBOT',
    'MCSSL',
    'MMC',
    'MSN',
    'AttentiveClsHead',
    'FrozenFeatures',
    'GlobalContrastHead',
    'MaskCo',
    'MaskPredictionHead',
    'PatchColour',
    'PatchContrastHead',
    'PixelReconstructionHead',
    'PretrainedViT',
    'ProjectionMLP',
    'PrototypeHead',
    'SimpleFPN',
    'SiT',
    'TokenClsHead',
    'ViTClassifier',
    'VideoPropagation',
    'ViewDataPreprocessor',
    'ViewMAE',
    'ViewMoCoV3',
]
