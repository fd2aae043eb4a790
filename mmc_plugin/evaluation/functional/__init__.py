from .knn import knn_accuracy, knn_predict
from .similarity import patch_similarity
from .spread import effective_rank, feature_spread

__all__ = ['effective_rank', 'feature_spread', 'knn_accuracy', 'knn_predict', 'patch_similarity']
