"""Labels of patches by those of the nearest labelled patches (arXiv 2306.01667)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ...errors import InputError
from .neighbours import nearest_neighbours


def patch_distribution(labels: Tensor, rows: int, columns: int, classes: int) -> Tensor:
    """Which part of the labelled pixels of each patch has which class.

    Args:
        labels (Tensor): int (H, W), classes from 0; others are pixels without a label.
        rows (int): Patches from top to bottom, over the whole map.
        columns (int): Patches from left to right.
        classes (int): C.

    Returns:
        Tensor: float32 (rows, columns, C), of sum 1, or 0 where no pixel has a label. A pixel
        belongs to the patch that holds its centre.
    """
    height, width = labels.shape
    row, column = (
        ((torch.arange(pixels, device=labels.device) + 0.5) * cells / pixels).long()
        for pixels, cells in ((height, rows), (width, columns))
    )
    patch = row[:, None] * columns + column
    labels = labels.long()
    labelled = (labels >= 0) & (labels < classes)
    counts = torch.bincount(
        (patch * classes + labels)[labelled], minlength=rows * columns * classes
    )
    counts = counts.view(rows, columns, classes).float()
    return counts / counts.sum(-1, keepdim=True).clamp(min=1)


def retrieve_labels(
    bank: Tensor, labels: Tensor, queries: Tensor, k: int = 30, temperature: float = 0.02
) -> Tensor:
    """Labels of queries: those of the k nearest rows of a bank, weighted by their cosines.

    Args:
        bank (Tensor): (N, D).
        labels (Tensor): float (N, C), distributions over classes.
        queries (Tensor): (M, D).
        k (int): Defaults to 30 [arXiv 2306.01667].
        temperature (float): Of the softmax over the k cosines. Defaults to 0.02 [likewise].

    Returns:
        Tensor: float32 (M, C).

    Raises:
        ValueError: If the bank has fewer than k rows, or the temperature is not positive.
    """
    if not 1 <= k <= len(bank):
        raise InputError(f'k must be between 1 and the {len(bank)} labelled patches, got {k}.')
    if not temperature > 0:
        raise InputError(f'The temperature must be positive, got {temperature}.')
    cosines, index = nearest_neighbours([bank], [queries], k)
    weights = F.softmax(cosines / temperature, dim=1)
    return (weights[..., None] * labels.to(index.device)[index].float()).sum(1)
