"""Views of patch tokens without labels: k-means (arXiv 2308.11448, figure 6) and PCA."""

from __future__ import annotations

import torch
from torch import Tensor

from ...errors import InputError

_STARTS = 4
_STEPS = 100  # at most, from each start
_CUT = 0.01  # part of the values that is cut at each end of the colours' scale


def kmeans(features: Tensor, clusters: int) -> tuple[Tensor, Tensor, float]:
    """Lloyd's algorithm from k-means++ starts (Arthur, Vassilvitskii 2007), the best of four.

    The starts are drawn with a fixed seed: the same features give the same clusters.

    Args:
        features (Tensor): float (N, D).
        clusters (int): k.

    Returns:
        tuple[Tensor, Tensor, float]: int64 (N, ) clusters, numbered by falling size; (k, D)
        centres; the sum of squared distances to them.

    Raises:
        ValueError: If there are fewer features than clusters, or some are not finite.
    """
    if not 1 <= clusters <= len(features):
        raise InputError(
            f'k-means needs between 1 and {len(features)} clusters for so many '
            f'features, got {clusters}.'
        )
    if not features.isfinite().all():
        raise InputError('k-means got features that are not finite.')
    features = features.float()
    generator = torch.Generator().manual_seed(0)
    best = None
    for _ in range(_STARTS):
        centres = _plus_plus(features, clusters, generator)
        labels = None
        for _ in range(_STEPS):
            distance = torch.cdist(features, centres).square()
            moved = distance.argmin(1)
            if labels is not None and torch.equal(moved, labels):
                break
            labels = moved
            centres = _means(features, labels, distance, clusters)
        near, labels = torch.cdist(features, centres).square().min(1)
        inertia = float(near.double().sum())
        if best is None or inertia < best[2]:
            best = labels, centres, inertia
    labels, centres, inertia = best
    order = torch.bincount(labels, minlength=clusters).argsort(descending=True, stable=True)
    return order.argsort()[labels], centres[order], inertia


def _plus_plus(features: Tensor, clusters: int, generator: torch.Generator) -> Tensor:
    """(k, D): each next centre is drawn with the squared distance to those before as weight."""
    first = int(torch.randint(len(features), (), generator=generator))
    chosen = [first]
    nearest = (features - features[first]).square().sum(1)
    for _ in range(clusters - 1):
        weights = nearest.double().cpu()
        if weights.sum() <= 0:  # fewer different features than clusters
            weights = torch.ones_like(weights)
        index = int(torch.multinomial(weights, 1, generator=generator))
        chosen.append(index)
        nearest = torch.minimum(nearest, (features - features[index]).square().sum(1))
    return features[chosen]


def _means(features: Tensor, labels: Tensor, distance: Tensor, clusters: int) -> Tensor:
    """(k, D): the mean of each cluster; an empty one moves to a feature that lies far off."""
    counts = torch.bincount(labels, minlength=clusters)
    sums = features.new_zeros(clusters, features.shape[1]).index_add_(0, labels, features)
    centres = sums / counts.clamp(min=1)[:, None]
    empty = (counts == 0).nonzero().flatten()
    if len(empty):
        far = distance.amin(1).topk(len(empty)).indices
        centres[empty] = features[far]
    return centres


def pca_rgb(features: Tensor) -> Tensor:
    """The three directions of most variance as red, green and blue.

    Args:
        features (Tensor): float (…, D); all leading dimensions are pooled, so that several images
            given together share their colours.

    Returns:
        Tensor: float32 (…, 3) in [0, 1]; the hundredth of the values at each end of a channel is 0
        or 1. The sign of a direction is such that its largest weight
        is positive. Channels beyond the rank of the features are 0.5.
    """
    flat = features.float().flatten(0, -2)
    centred = flat - flat.mean(0)
    _, scale, directions = torch.linalg.svd(centred, full_matrices=False)
    directions = directions[:3]
    largest = directions.gather(1, directions.abs().argmax(1, keepdim=True))
    values = centred @ (directions * largest.sign()).T  # (N, ≤ 3)
    low, high = values.quantile(_CUT, 0), values.quantile(1 - _CUT, 0)
    colours = ((values - low) / (high - low)).clamp(0, 1)
    flat_scale = scale[:3] <= scale[0] * 1e-6
    colours[:, flat_scale] = 0.5
    out = colours.new_full((len(flat), 3), 0.5)
    out[:, : colours.shape[1]] = colours.nan_to_num(0.5)
    return out.view(*features.shape[:-1], 3)
