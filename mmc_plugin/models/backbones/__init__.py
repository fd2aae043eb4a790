from .pretrained_vit import PretrainedViT

__all__ = ['PretrainedViT']
