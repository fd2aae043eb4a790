from .cases import choose_cases
from .clustering import kmeans, pca_rgb
from .knn import knn_accuracy, knn_predict, knn_vote
from .neighbours import nearest_neighbours
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
    'choose_cases',
    'effective_rank',
    'feature_spread',
    'histogram_overlap',
    'iou_from_counts',
    'kmeans',
    'knn_accuracy',
    'knn_predict',
    'knn_vote',
    'nearest_neighbours',
    'otsu_threshold',
    'pair_histograms',
    'patch_labels',
    'pca_rgb',
    'pixel_codes',
    'prompt_similarity',
    'threshold_counts',
]
