"""What the patches of one image hold, without labels (arXiv 2308.11448, figure 6)."""

from __future__ import annotations

import numpy as np
import torch.nn.functional as F
from torch import Tensor

from ..evaluation.functional.clustering import kmeans, pca_rgb


def patch_clusters(tokens: Tensor, clusters: int) -> np.ndarray:
    """Group the patches of an image by k-means on their tokens of length 1.

    Args:
        tokens (Tensor): (h, w, D), such as :meth:`PromptSegmenter.tokens` gives.
        clusters (int): k.

    Returns:
        np.ndarray: int64 (h, w), from 0, numbered by falling size.

    Raises:
        ValueError: If there are fewer patches than clusters.
    """
    labels, _, _ = kmeans(F.normalize(tokens.float(), dim=-1).flatten(0, 1), clusters)
    return labels.view(tokens.shape[:2]).cpu().numpy()


def patch_colours(tokens: Tensor) -> np.ndarray:
    """The three directions of most variance of an image's patches as red, green and blue.

    Args:
        tokens (Tensor): (h, w, D).

    Returns:
        np.ndarray: float32 (h, w, 3) in [0, 1], see :func:`pca_rgb`.
    """
    return pca_rgb(F.normalize(tokens.float(), dim=-1)).cpu().numpy()
