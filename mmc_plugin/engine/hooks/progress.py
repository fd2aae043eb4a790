"""Shows on the screen that a training goes on, between the lines of its log."""

from __future__ import annotations

import time

from mmengine.dist import get_world_size, is_main_process
from mmengine.hooks import Hook, LoggerHook
from mmengine.runner import Runner
from mmpretrain.registry import HOOKS

from ...errors import InputError

FIRST = 2.0  # seconds to the first line; the time between lines doubles from there


@HOOKS.register_module()
class ProgressHook(Hook):
    """Prints a line every few seconds: iteration, images per second and time left.

    The log and its JSON file stay as they are, and a line of the log counts as one of these. The
    rate is that since the last line; the time left follows from the mean of all iterations since
    the start but the first, which is slower. Under a time limit it is at most what is left of that,
    and at least what is left of the epoch.

    Args:
        seconds (float): Most seconds between lines, where iterations are not longer. Defaults to
            10; in the beginning there are fewer between them.
    """

    priority = 'LOW'  # after LoggerHook

    def __init__(self, seconds: float = 10.0) -> None:
        if seconds <= 0:
            raise InputError(f'ProgressHook: seconds must be positive, got {seconds}.')
        self.seconds = seconds

    def before_train(self, runner: Runner) -> None:
        """Start the clock."""
        self._begun = self._second = time.monotonic()
        self._first = runner.iter
        self._gap = min(FIRST, self.seconds)
        self._logs = [hook.interval for hook in runner.hooks if isinstance(hook, LoggerHook)]
        self._mark()

    def after_train_iter(self, runner: Runner, batch_idx, data_batch=None, outputs=None) -> None:
        """Print a line if it is time."""
        now = time.monotonic()
        self._images += len(data_batch['data_samples']) * get_world_size()
        done = runner.iter + 1 - self._first
        if done == 1:
            self._second = now
        if any(self.every_n_inner_iters(batch_idx, interval) for interval in self._logs):
            self._mark()
        elif now - self._since >= self._gap and is_main_process():
            print(self._line(runner, batch_idx, done, now), flush=True)
            self._gap = min(2 * self._gap, self.seconds)
            self._mark()

    def _mark(self) -> None:
        self._since, self._images = time.monotonic(), 0

    def _line(self, runner: Runner, batch_idx: int, done: int, now: float) -> str:
        pace = (now - self._second) / (done - 1) if done > 1 else now - self._begun
        left = pace * (runner.max_iters - runner.iter - 1)
        limit = getattr(runner.train_loop, 'seconds', None)
        if limit is not None:
            # The epoch at hand is trained to its end, however late.
            this_epoch = pace * (_length(runner) - batch_idx - 1)
            left = max(this_epoch, min(left, limit - (now - self._begun)))
        where = f'epoch {runner.epoch + 1}, iteration {batch_idx + 1} of {_length(runner)}'
        rate = self._images / (now - self._since)
        return f'{where}: {rate:.3g} images/s, {duration(left)} left'


def _length(runner: Runner) -> int:
    return len(runner.train_loop.dataloader)


def duration(seconds: float) -> str:
    """Such as ``40 s``, ``3 min 20 s``, ``5 h 10 min`` or ``2 d 3 h``."""
    whole = round(seconds)
    units = (('d', 86400), ('h', 3600), ('min', 60), ('s', 1))
    for (unit, size), (smaller, part) in zip(units, units[1:]):
        if whole >= size:
            return f'{whole // size} {unit} {whole % size // part} {smaller}'
    return f'{whole} s'
