from .bank_metric import BankMetric, Banks
from .classification import ClassificationAccuracy
from .feature_variance import FeatureVariance
from .few_shot import FewShot
from .knn_accuracy import KNNAccuracy
from .object_discovery import ObjectDiscovery
from .part_retrieval import PartRetrieval
from .prompt_iou import PromptIoU
from .reported import ReportedMetric
from .retrieval import Retrieval
from .similarity_overlap import SimilarityOverlap
from .video_scores import VideoScores

__all__ = [
    'BankMetric',
    'Banks',
    'ClassificationAccuracy',
    'FeatureVariance',
    'FewShot',
    'KNNAccuracy',
    'ObjectDiscovery',
    'PartRetrieval',
    'PromptIoU',
    'ReportedMetric',
    'Retrieval',
    'SimilarityOverlap',
    'VideoScores',
]
