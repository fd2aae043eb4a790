from .prompt_iou import PromptIoU
from .reported import ReportedMetric
from .similarity_overlap import SimilarityOverlap
from .video_scores import VideoScores

__all__ = ['PromptIoU', 'ReportedMetric', 'SimilarityOverlap', 'VideoScores']
