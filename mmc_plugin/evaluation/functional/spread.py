"""How much of the feature space a set of features fills: the two signs of collapse."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ...errors import InputError


def _check_matrix(feats: Tensor) -> None:
    if feats.dim() != 2 or 0 in feats.shape:
        raise InputError(f'Features must have shape (N, D), got {tuple(feats.shape)}.')


def feature_spread(feats: Tensor) -> float:
    """Spread of L2-normalised features over the unit sphere (SimSiam, arXiv 2011.10566, §4.1).

    Args:
        feats (Tensor): Features of shape (N, D).

    Returns:
        float: Standard deviation over the features, averaged over the dimensions and multiplied
        by sqrt(D): 1 for features that point in all directions alike, 0 where all point in one.

    Raises:
        ValueError: If ``feats`` is not a non-empty matrix.
    """
    _check_matrix(feats)
    unit = F.normalize(feats.double(), dim=1)
    return (unit.std(dim=0, unbiased=False).mean() * feats.size(1) ** 0.5).item()


def effective_rank(feats: Tensor) -> float:
    """Effective rank of a feature matrix (Roy and Vetterli, 2007; RankMe, arXiv 2210.02885).

    It is the exponential of the entropy of the singular values divided by their sum. The features
    are neither centred nor normalised, as in RankMe.

    Args:
        feats (Tensor): Features of shape (N, D).

    Returns:
        float: A number from 1 (all features are multiples of one) to min(N, D); 0 if all
        features are zero.

    Raises:
        ValueError: If ``feats`` is not a non-empty matrix.
    """
    _check_matrix(feats)
    feats = feats.double()
    # The singular values by way of the smaller Gram matrix: far cheaper than an SVD where N >> D.
    gram = feats.t() @ feats if feats.size(0) > feats.size(1) else feats @ feats.t()
    singular = torch.linalg.eigvalsh(gram).clamp(min=0).sqrt()
    total = singular.sum()
    if total == 0:
        return 0.0
    share = singular / total
    return torch.special.entr(share).sum().exp().item()
