"""How the benchmarks take time: what is compared runs in turn, and the median of the turns counts.

One turn runs everything once, so a machine that slows down for a while spoils neither side; the
ratio of two sides is taken within each turn.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar

import numpy as np
import torch

T = TypeVar('T')
WALL = 'wall'


def clock(device: str | torch.device) -> float:
    """Seconds on the clock that suits a device.

    Args:
        device: A GPU: the wall clock, after all that was asked of it is done. ``'cpu'``: the
            processor time of this process, so that other processes disturb less. :data:`WALL`: the
            wall clock, where waiting counts, such as for a disk.
    """
    if device == WALL:
        return time.perf_counter()
    if torch.device(device).type == 'cpu':
        return time.process_time()
    torch.cuda.synchronize(device)
    return time.perf_counter()


def timed(run: Callable[[], T], device: str | torch.device) -> tuple[float, T]:
    """Seconds that a call takes on the :func:`clock` of a device, and what it returns."""
    begin = clock(device)
    result = run()
    return clock(device) - begin, result


def in_turns(
    runs: Sequence[Callable[[], object]], repeats: int, warmup: int, device: str | torch.device
) -> np.ndarray:
    """Time several calls, in turn, again and again.

    Args:
        runs: R calls.
        repeats: Turns that count.
        warmup: Turns before them.
        device: See :func:`clock`.

    Returns:
        Seconds, float64 (repeats, R).
    """
    times = [[timed(run, device)[0] for run in runs] for _ in range(warmup + repeats)]
    return np.array(times[warmup:])


class Spread(NamedTuple):
    """The median of some numbers and their range."""

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        return f'{self.median:.3f} [{self.low:.3f}, {self.high:.3f}]'


def spread(values: Sequence[float]) -> Spread:
    """Of some numbers."""
    return Spread(float(np.median(values)), float(np.min(values)), float(np.max(values)))


def ratio(times: np.ndarray, others: np.ndarray) -> Spread:
    """The ratio of one side's seconds (repeats, ) to another's, turn by turn."""
    return spread(times / others)
