"""Features of the last batches, of all processes."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...errors import InputError
from .distributed import gather_with_grad


class FeatureQueue(nn.Module):
    """Ring buffer of unit rows, saved in the checkpoint; it begins with random ones (MoCo).

    mmpretrain's asks that the batch divides its length; this takes any.

    Args:
        length (int): L, rows.
        channels (int): C.

    Raises:
        ValueError: For an empty queue.
    """

    def __init__(self, length: int, channels: int) -> None:
        super().__init__()
        if length < 1:
            raise InputError(f'A queue needs a length of at least 1, got {length}.')
        self.register_buffer('rows', F.normalize(torch.randn(length, channels), dim=1))
        self.register_buffer('place', torch.zeros(1, dtype=torch.long))

    @torch.no_grad()
    def push(self, rows: Tensor) -> None:
        """Replace the oldest rows by those (n, C) of each process, in rank order."""
        rows = gather_with_grad(rows.detach().to(self.rows.dtype))[-len(self.rows) :]
        steps = torch.arange(len(rows), device=rows.device)
        self.rows[(self.place + steps) % len(self.rows)] = rows
        self.place.add_(len(rows)).remainder_(len(self.rows))
