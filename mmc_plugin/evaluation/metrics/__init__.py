from .bank_metric import BankMetric, Banks
from .knn_accuracy import KNNAccuracy
from .prompt_iou import PromptIoU
from .reported import ReportedMetric
from .similarity_overlap import SimilarityOverlap

__all__ = [
    'BankMetric',
    'Banks',
    'KNNAccuracy',
    'PromptIoU',
    'ReportedMetric',
    'SimilarityOverlap',
]
