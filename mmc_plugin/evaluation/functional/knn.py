"""Weighted k-nearest-neighbour classification of frozen features.

The protocol is the one of the DINO release (arXiv 2104.14294, appendix F.1), which the MMC paper
(arXiv 2308.11448, tables 4, 6 and 11) follows: features are L2-normalised, the ``k`` training
features of highest cosine ``s`` vote for their class with weight ``exp(s / temperature)``.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ...errors import InputError
from .neighbours import nearest_neighbours

# Votes held at once, about 64 MB of float32.
_BLOCK_ELEMENTS = 2**24


def _check_shapes(
    train_feats: Tensor, train_labels: Tensor, test_feats: Tensor, k: Sequence[int]
) -> None:
    if train_feats.dim() != 2 or test_feats.dim() != 2 or train_feats.size(1) != test_feats.size(1):
        raise InputError(
            'k-NN needs features of shape (N, D) and (M, D) of one width D, got '
            f'{tuple(train_feats.shape)} and {tuple(test_feats.shape)}.'
        )
    if train_labels.shape != train_feats.shape[:1]:
        raise InputError(
            f'k-NN needs one label for each of the {len(train_feats)} training '
            f'features, got labels of shape {tuple(train_labels.shape)}.'
        )
    if not k or min(k) < 1:
        raise InputError(f'k must be one or more positive integers, got {tuple(k)}.')
    if max(k) > len(train_feats):
        raise InputError(
            f'k = {max(k)} neighbours were asked for, but there are only '
            f'{len(train_feats)} training features; choose a smaller k.'
        )


def knn_predict(
    train_feats: Tensor,
    train_labels: Tensor,
    test_feats: Tensor,
    k: Sequence[int] = (10, 20),
    temperature: float = 0.07,
) -> dict[int, Tensor]:
    """Predict the class of each test feature by a weighted vote of its nearest neighbours.

    The neighbours are searched once, for the largest ``k``.

    Args:
        train_feats (Tensor): Features of shape (N, D), normalised here.
        train_labels (Tensor): Integer classes from 0 on, of shape (N, ).
        test_feats (Tensor): Features of shape (M, D), normalised here.
        k (Sequence[int]): Numbers of neighbours. Defaults to (10, 20).
        temperature (float): Temperature of the vote's weight. Defaults to 0.07.

    Returns:
        dict[int, Tensor]: For each ``k`` the predicted classes, of shape (M, ).

    Raises:
        ValueError: If shapes do not fit or ``k`` exceeds the number of training features.
    """
    _check_shapes(train_feats, train_labels, test_feats, k)
    similarity, index = nearest_neighbours([train_feats], [test_feats], max(k))
    return knn_vote(similarity, train_labels.to(index.device)[index], k, temperature)


def knn_vote(
    similarity: Tensor, labels: Tensor, k: Sequence[int], temperature: float = 0.07
) -> dict[int, Tensor]:
    """The class that the nearest neighbours vote for, each with weight exp(s / temperature).

    Args:
        similarity (Tensor): (M, K) cosines of the neighbours, falling.
        labels (Tensor): (M, K) their integer classes, from 0 on.
        k (Sequence[int]): Numbers of neighbours, at most K.
        temperature (float): Temperature of the vote's weight. Defaults to 0.07.

    Returns:
        dict[int, Tensor]: For each ``k`` the predicted classes, int64 (M, ).
    """
    labels = labels.long()
    num_classes = int(labels.max()) + 1 if labels.numel() else 1
    # Relative to the nearest neighbour: the vote is the same and exp cannot overflow.
    weight = ((similarity - similarity[:, :1]) / temperature).exp()
    predictions = {}
    for each in k:
        found = []
        for weights, classes in zip(
            *(part[:, :each].split(max(1, _BLOCK_ELEMENTS // num_classes))
              for part in (weight, labels)), strict=True
        ):  # fmt: skip
            votes = weights.new_zeros(len(weights), num_classes)
            found.append(votes.scatter_add_(1, classes, weights).argmax(dim=1))
        predictions[each] = torch.cat(found)
    return predictions


def knn_accuracy(
    train_feats: Tensor,
    train_labels: Tensor,
    test_feats: Tensor,
    test_labels: Tensor,
    k: Sequence[int] = (10, 20),
    temperature: float = 0.07,
) -> dict[int, float]:
    """Accuracy of :func:`knn_predict`, whose arguments it takes.

    Args:
        test_labels (Tensor): Integer classes of the test features, of shape (M, ).

    Returns:
        dict[int, float]: For each ``k`` the share of right predictions, in percent.

    Raises:
        ValueError: As :func:`knn_predict`, and if there is not one label for each test feature.
    """
    if test_labels.shape != test_feats.shape[:1] or len(test_labels) == 0:
        raise InputError(
            f'k-NN needs one label for each of the {len(test_feats)} test features '
            f'and at least one, got labels of shape {tuple(test_labels.shape)}.'
        )
    predictions = knn_predict(train_feats, train_labels, test_feats, k, temperature)
    return {
        each: 100.0 * (predicted == test_labels.to(predicted.device)).float().mean().item()
        for each, predicted in predictions.items()
    }
