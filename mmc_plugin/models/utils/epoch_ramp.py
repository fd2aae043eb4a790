"""A number that goes from one value to another in the first epochs."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ...errors import InputError


class EpochRamp(nn.Module):
    """Linear, a step each epoch, reached in the last epoch of the ramp; constant after it.

    Args:
        value (float | Sequence[float]): One positive number, or the first and the last.
        epochs (int): Length of the ramp.
        name (str): Key that an error names.
        below (float): What it stays below, that of the student. Defaults to no bound.

    Raises:
        ValueError: For other values.
    """

    def __init__(
        self, value: float | Sequence[float], epochs: int, name: str, below: float = math.inf
    ) -> None:
        super().__init__()
        ends = list(value) if isinstance(value, list | tuple) else [value]
        finite = all(type(each) in (int, float) and 0 < each < math.inf for each in ends)
        if len(ends) not in (1, 2) or not finite or not 0 <= epochs < math.inf:
            raise InputError(
                f'{name} is a positive number, or two of them, first and last, for warmup_epochs '
                f'of at least 0; got {value!r} and {epochs}.'
            )
        self.first, self.last = float(ends[0]), float(ends[-1])
        if not max(ends) < below:
            raise InputError(
                f'{name} reaches {max(ends)}, which is not below {below}, that of the student: '
                'targets must be sharper than what predicts them.'
            )
        self.epochs = epochs
        # A tensor: compiled code need not be made again for each value.
        self.register_buffer('value', torch.tensor(self.at(0)), persistent=False)

    def at(self, epoch: int) -> float:
        """The value in an epoch, from 0."""
        if epoch >= self.epochs - 1:
            return self.last
        return self.first + (self.last - self.first) * epoch / (self.epochs - 1)

    def begin_epoch(self, epoch: int) -> None:
        """Go to an epoch, from 0."""
        self.value.fill_(self.at(epoch))

    def forward(self) -> Tensor:
        """The present value, a scalar."""
        return self.value
