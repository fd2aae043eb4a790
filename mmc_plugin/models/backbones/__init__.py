from .detection_vit import DetectionViT
from .pretrained_vit import PretrainedViT

__all__ = ['DetectionViT', 'PretrainedViT']
