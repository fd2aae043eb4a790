"""Average precision of rankings with ties, and precision over recall, many queries at once."""

from __future__ import annotations

import torch
from torch import Tensor

from ...errors import InputError


def average_precision(
    similarity: Tensor, relevant: Tensor, recalls: Tensor
) -> tuple[Tensor, Tensor]:
    """Average precision of each query, as scikit-learn's ``average_precision_score`` defines it.

    Sum over the distinct similarities, from the highest, of the gain in recall times the precision
    of all that are at least as similar: equal ones come together, in no order.

    Args:
        similarity (Tensor): (M, N) of M queries to N things.
        relevant (Tensor): bool (M, N).
        recalls (Tensor): (R, ) in (0, 1]: where precision is told.

    Returns:
        tuple[Tensor, Tensor]: float64 (M, ), NaN for a query without anything relevant; and
        float64 (M, R), the highest precision at a recall of at least so much.

    Raises:
        ValueError: If the shapes differ.
    """
    if similarity.shape != relevant.shape or similarity.dim() != 2:
        raise InputError(
            'Similarities and what is relevant need one shape (M, N), got '
            f'{tuple(similarity.shape)} and {tuple(relevant.shape)}.'
        )
    number = similarity.shape[1]
    value, order = similarity.sort(dim=1, descending=True)
    hit = relevant.gather(1, order)
    found = hit.cumsum(1)  # relevant ones up to here
    place = torch.arange(number, device=similarity.device)
    last = torch.ones_like(hit)
    last[:, :-1] = value[:, 1:] != value[:, :-1]
    # The end of the ties that a place is among: the nearest last one at or after it.
    end = torch.where(last, place, number).flip(1).cummin(1)[0].flip(1)
    precision = found.gather(1, end).double() / (end + 1)
    total = found[:, -1:].double()
    score = torch.where(hit, precision, 0).sum(1) / total[:, 0]  # 0 / 0 is NaN
    best = precision.flip(1).cummax(1)[0].flip(1)
    wanted = (recalls.to(total) * total).ceil().long().clamp(min=1)  # (M, R), counts
    first = torch.searchsorted(found, wanted).clamp(max=number - 1)
    return score, torch.where(total > 0, best.gather(1, first), torch.nan)
