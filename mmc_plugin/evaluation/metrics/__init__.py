from .prompt_iou import PromptIoU
from .reported import ReportedMetric
from .similarity_overlap import SimilarityOverlap

__all__ = ['PromptIoU', 'ReportedMetric', 'SimilarityOverlap']
