from .average_precision import average_precision
from .cases import choose_cases
from .clustering import kmeans, pca_rgb
from .davis_scores import boundary_accuracy, region_similarity, sequence_statistics
from .few_shot import (
    draw_episodes,
    episode_scores,
    mean_and_interval,
    nearest_accuracy,
    threshold_f1,
)
from .knn import knn_accuracy, knn_predict, knn_vote
from .label_propagation import propagate_labels
from .label_retrieval import patch_distribution, retrieve_labels
from .mutual_matches import mutual_matches
from .neighbours import nearest_neighbours
from .pair_statistics import histogram_overlap, pair_histograms, patch_labels
from .prompt_masks import (
    centred_tokens,
    iou_from_counts,
    otsu_threshold,
    pixel_codes,
    prompt_similarity,
    threshold_counts,
)
from .refinement import bilateral_solver, guided_filter, refine_maps
from .retrieval import RankingScores, ranking_scores
from .spectral_cut import fiedler_vector, spectral_objects
from .spread import effective_rank, feature_spread
from .variance import RunningVariance

__all__ = [
    'RankingScores',
    'RunningVariance',
    'average_precision',
    'bilateral_solver',
    'boundary_accuracy',
    'centred_tokens',
    'choose_cases',
    'draw_episodes',
    'episode_scores',
    'effective_rank',
    'feature_spread',
    'fiedler_vector',
    'guided_filter',
    'histogram_overlap',
    'iou_from_counts',
    'kmeans',
    'knn_accuracy',
    'knn_predict',
    'knn_vote',
    'mean_and_interval',
    'mutual_matches',
    'nearest_accuracy',
    'nearest_neighbours',
    'otsu_threshold',
    'pair_histograms',
    'patch_distribution',
    'patch_labels',
    'pca_rgb',
    'pixel_codes',
    'prompt_similarity',
    'propagate_labels',
    'ranking_scores',
    'refine_maps',
    'region_similarity',
    'retrieve_labels',
    'sequence_statistics',
    'spectral_objects',
    'threshold_counts',
    'threshold_f1',
]
