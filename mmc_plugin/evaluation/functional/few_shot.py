"""Few-shot episodes: nearest support image, and thresholds of its cosine."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ...errors import InputError

_BLOCK_ELEMENTS = 2**24  # of gathered features, 64 MiB of float32


def draw_episodes(
    labels: Sequence[int], episodes: int, ways: int, shots: int, queries: int, seed: int
) -> np.ndarray:
    """Images of random episodes; classes with too few images are not drawn.

    Args:
        labels (Sequence[int]): Of N images.
        episodes (int): E.
        ways (int): W classes in each, all different.
        shots (int): S support images of each class.
        queries (int): Q other images of each class.
        seed (int): Of the draw.

    Returns:
        np.ndarray: int64 (E, W, S + Q), places of images, support first.

    Raises:
        ValueError: If fewer than W classes have S + Q images.
    """
    labels = np.asarray(labels)
    members = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    enough = [each for each in members if len(each) >= shots + queries]
    if len(enough) < ways:
        raise InputError(
            f'{ways} classes with {shots} + {queries} images each are needed for an episode, but '
            f'only {len(enough)} of {len(members)} classes have so many: take fewer ways, shots or '
            'queries, or a larger set.'
        )
    rng = np.random.default_rng(seed)
    return np.stack(
        [
            [
                rng.choice(enough[i], shots + queries, replace=False)
                for i in rng.choice(len(enough), ways, replace=False)
            ]
            for _ in range(episodes)
        ]
    )


def episode_scores(features: Tensor, episodes: Tensor, shots: int) -> Tensor:
    """Cosine of each query to the nearest support image of each class.

    Args:
        features (Tensor): (N, D).
        episodes (Tensor): (E, W, S + Q) of :func:`draw_episodes`.
        shots (int): S.

    Returns:
        Tensor: (E, W, Q, W): class of the query, query, class of the support.
    """
    features = F.normalize(features, dim=1)
    ways, images = episodes.shape[1:]
    size = max(1, _BLOCK_ELEMENTS // (ways * images * features.shape[1]))
    scores = []
    for block in episodes.to(features.device).split(size):
        chosen = features[block]  # (e, W, S + Q, D)
        support, query = chosen[:, :, :shots], chosen[:, :, shots:]
        cosine = query.flatten(1, 2) @ support.flatten(1, 2).mT  # (e, WQ, WS)
        nearest = cosine.unflatten(2, (ways, shots)).amax(3)
        scores.append(nearest.unflatten(1, (ways, images - shots)))
    return torch.cat(scores)


def nearest_accuracy(scores: Tensor) -> Tensor:
    """Share of the queries of each episode whose nearest support image is of their class.

    Args:
        scores (Tensor): (E, W, Q, W) of :func:`episode_scores`.

    Returns:
        Tensor: float64 (E, ).
    """
    own = torch.arange(scores.shape[1], device=scores.device)[:, None]
    return (scores.argmax(3) == own).double().mean((1, 2))


def threshold_f1(scores: Tensor, thresholds: Tensor) -> Tensor:
    """F1 of "the query is of this class, if its cosine is above the threshold", in each episode.

    A query and a class make a pair, W·Q·W of them in an episode.

    Args:
        scores (Tensor): (E, W, Q, W) of :func:`episode_scores`.
        thresholds (Tensor): (T, ).

    Returns:
        Tensor: float64 (E, T); 0 where nothing right is found.
    """
    own = torch.eye(scores.shape[1], dtype=torch.bool, device=scores.device)[:, None]
    found = []
    for threshold in thresholds.tolist():
        above = scores > threshold
        right = (above & own).sum((1, 2, 3)).double()
        wrong = (above & ~own).sum((1, 2, 3)).double()
        positives = scores.shape[1] * scores.shape[2]
        # 2 TP / (2 TP + FP + FN), and TP + FN are the pairs of a query and its own class.
        found.append(2 * right / (right + wrong + positives))
    return torch.stack(found, 1)


def mean_and_interval(values: Tensor) -> tuple[float, float]:
    """Mean of independent values and half of its 95 % interval, 1.96 standard errors."""
    values = values.double().flatten()
    if len(values) < 2:
        return values.mean().item(), float('nan')
    return values.mean().item(), 1.96 * (values.std() / len(values) ** 0.5).item()
