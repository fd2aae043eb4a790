"""Similarity of patches within and between objects (arXiv 2308.11448, table 5 and figure 5)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

# Pairs that are worked on at once.
PAIRS_AT_ONCE = 1 << 21


def patch_labels(coverage: Tensor) -> Tensor:
    """Label each patch with the category that covers most of it.

    Args:
        coverage (Tensor): float (C, h, w): part of each patch that each category covers.

    Returns:
        Tensor: int64 (h, w): 0 for background, where no category covers half of the patch;
        1 … C for the categories in their order.
    """
    most, label = coverage.max(0)
    return torch.where(most >= 0.5, label + 1, 0)


def pair_histograms(
    tokens: Tensor, labels: Tensor, bins: int = 200, include_background: bool = False
) -> tuple[Tensor, Tensor]:
    """Histograms of the cosines of all pairs of patches of an image.

    Args:
        tokens (Tensor): (N, D).
        labels (Tensor): int (N, ): 0 for background, a positive number for each category, a
            negative one for patches that count for nothing.
        bins (int): Bins on [-1, 1].
        include_background (bool): Whether background is one more category. By default its
            patches are left out.

    Returns:
        tuple[Tensor, Tensor]: int64 (2, bins) histograms and float64 (2, ) sums of the cosines of
        pairs with the same category (first) and with different ones (second). A pair counts
        once, a patch makes no pair with itself. Memory does not grow with the number of pairs.
    """
    keep = labels >= 0 if include_background else labels > 0
    labels = labels[keep]
    unit = F.normalize(tokens[keep].float(), dim=-1)
    number = len(unit)
    place = torch.arange(number, device=unit.device)
    histograms = torch.zeros(2 * bins, dtype=torch.long, device=unit.device)
    sums = torch.zeros(2, dtype=torch.float64, device=unit.device)
    step = max(1, PAIRS_AT_ONCE // max(1, number))
    for start in range(0, number, step):
        rows = slice(start, min(start + step, number))
        later = place > place[rows, None]  # (C, K): each pair once
        cosine = (unit[rows] @ unit.T)[later].double().clamp(-1, 1)
        differ = (labels != labels[rows, None])[later].long()
        index = ((cosine + 1) * (bins / 2)).long().clamp(max=bins - 1)
        histograms += torch.bincount(index + bins * differ, minlength=2 * bins)
        sums.index_add_(0, differ, cosine)
    return histograms.view(2, bins), sums


def histogram_overlap(histograms: Tensor) -> Tensor:
    """Common area of two histograms that are each scaled to an area of one.

    Args:
        histograms (Tensor): (2, bins) counts.

    Returns:
        Tensor: float64 scalar in [0, 1]; NaN if one of the two is empty.
    """
    share = histograms.double() / histograms.double().sum(1, keepdim=True)
    return share.amin(0).sum()
