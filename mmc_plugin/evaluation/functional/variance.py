"""Variance of what comes batch after batch, without keeping it."""

from __future__ import annotations

from torch import Tensor

from ...errors import InputError


class RunningVariance:
    """Mean and variance over the first dimension, in float64 and in one pass.

    Batches are joined as Chan, Golub and LeVeque (1979) do, so that no digits are lost where the
    mean is large.
    """

    def __init__(self) -> None:
        self.count = 0
        self._mean: Tensor | None = None
        self._squares: Tensor | None = None  # sum of squared distances from the mean

    def update(self, batch: Tensor) -> None:
        """Take a batch (B, …) in."""
        batch = batch.double()
        number = len(batch)
        mean = batch.mean(0)
        squares = (batch - mean).square().sum(0)
        if self._mean is None:
            self.count, self._mean, self._squares = number, mean, squares
            return
        total = self.count + number
        distance = mean - self._mean
        self._mean = self._mean + distance * (number / total)
        self._squares = self._squares + squares + distance.square() * (self.count * number / total)
        self.count = total

    @property
    def mean(self) -> Tensor:
        """Mean, float64 (…)."""
        self._check()
        return self._mean

    @property
    def variance(self) -> Tensor:
        """Mean squared distance from the mean, float64 (…): of what was seen, not an estimate."""
        self._check()
        return self._squares / self.count

    def _check(self) -> None:
        if not self.count:
            raise InputError('There is nothing to measure the variance of: call update() first.')
