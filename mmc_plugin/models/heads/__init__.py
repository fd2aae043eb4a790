from .attentive_classifier import AttentiveClsHead
from .global_contrast import GlobalContrastHead
from .mask_prediction import MaskPredictionHead
from .patch_contrast import PatchContrastHead
from .projection import ProjectionMLP
from .prototypes import PrototypeHead
from .reconstruction import PixelReconstructionHead
from .token_classifier import TokenClsHead

__all__ = [
    'AttentiveClsHead',
    'GlobalContrastHead',
    'MaskPredictionHead',
    'PatchContrastHead',
    'PixelReconstructionHead',
    'ProjectionMLP',
    'PrototypeHead',
    'TokenClsHead',
]
