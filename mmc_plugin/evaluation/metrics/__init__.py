from .prompt_iou import PromptIoU
from .similarity_overlap import SimilarityOverlap

__all__ = ['PromptIoU', 'SimilarityOverlap']
