from .cases import choose_cases
from .clustering import kmeans, pca_rgb
from .davis_scores import boundary_accuracy, region_similarity, sequence_statistics
from .knn import knn_accuracy, knn_predict
from .label_propagation import propagate_labels
from .pair_statistics import histogram_overlap, pair_histograms, patch_labels
from .prompt_masks import (
    iou_from_counts,
    otsu_threshold,
    pixel_codes,
    prompt_similarity,
    threshold_counts,
)
from .spread import effective_rank, feature_spread

__all__ = [
    'boundary_accuracy',
    'choose_cases',
    'effective_rank',
    'feature_spread',
    'histogram_overlap',
    'iou_from_counts',
    'kmeans',
    'knn_accuracy',
    'knn_predict',
    'otsu_threshold',
    'pair_histograms',
    'patch_labels',
    'pca_rgb',
    'pixel_codes',
    'prompt_similarity',
    'propagate_labels',
    'region_similarity',
    'sequence_statistics',
    'threshold_counts',
]
