"""Equal parts of a number of things for each process, and their results put together again."""

from __future__ import annotations

import torch
from mmengine.dist import all_gather, get_dist_info
from torch import Tensor


def own_part(number: int) -> list[int]:
    """Places that this process works on, of ``number``: every processes-th.

    All processes get equally many, so that results can be gathered; the last may repeat the first
    ones.
    """
    rank, world = get_dist_info()
    ceiling = -(-number // world) * world
    return [i % number for i in range(rank, ceiling, world)]


def gather_parts(part: Tensor, number: int, dim: int = 0) -> Tensor:
    """Results of all processes in the order of the things.

    Args:
        part (Tensor): (…, n, …), those of :func:`own_part` along ``dim``.
        number (int): Of things.
        dim (int): Defaults to 0.

    Returns:
        Tensor: The same with ``number`` entries along ``dim``. With one process no copy is made.
    """
    if get_dist_info()[1] == 1:
        return part
    gathered = torch.stack(all_gather(part.contiguous()), dim=dim + 1)
    return gathered.flatten(dim, dim + 1).narrow(dim, 0, number)
