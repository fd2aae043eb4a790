"""Which patches of two images are each other's best match."""

from __future__ import annotations

import torch
from torch import Tensor

from .neighbours import nearest_neighbours


def mutual_matches(one: Tensor, other: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Pairs of patches of which each has the highest cosine with the other.

    Args:
        one (Tensor): (N, D) tokens.
        other (Tensor): (M, D) tokens.

    Returns:
        tuple[Tensor, Tensor, Tensor]: For K pairs, by falling cosine: int64 (K, ) rows of ``one``,
        int64 (K, ) rows of ``other``, and float (K, ) cosines.
    """
    there, to = (each[:, 0] for each in nearest_neighbours([other.float()], [one.float()], 1))
    _, back = nearest_neighbours([one.float()], [other.float()], 1)
    rows = torch.arange(len(one), device=to.device)
    mutual = back[to, 0] == rows
    order = there[mutual].argsort(descending=True, stable=True)
    return rows[mutual][order], to[mutual][order], there[mutual][order]
