"""Ends a training after a time."""

from __future__ import annotations

import time

from mmengine.dist import broadcast_object_list
from mmengine.hooks import Hook
from mmpretrain.registry import HOOKS


@HOOKS.register_module()
class TimeLimitHook(Hook):
    """Stops the training when another epoch as long as the last would end after ``seconds``.

    At least one epoch is trained. The hooks of the last one run as ever, so with a checkpoint at
    each epoch nothing is lost and the run can be resumed; the time counts anew from each start.

    Args:
        seconds (float): Time that the training may take.
    """

    priority = 'VERY_LOW'

    def __init__(self, seconds: float) -> None:
        if seconds <= 0:
            raise ValueError(f'TimeLimitHook: seconds must be positive, got {seconds}.')
        self.seconds = seconds

    def before_train(self, runner) -> None:
        """Start the clock."""
        self._start = self._epoch_start = time.monotonic()

    def after_train_epoch(self, runner) -> None:
        """Stop all processes together, as the first one's clock says."""
        now = time.monotonic()
        expected = [now - self._start + now - self._epoch_start]  # after another epoch
        self._epoch_start = now
        broadcast_object_list(expected)
        if expected[0] > self.seconds and not self.is_last_train_epoch(runner):
            runner.train_loop.stop_training = True
            runner.logger.info(
                f'Stopped after epoch {runner.epoch + 1}: another one would pass '
                f'the time limit of {self.seconds:g} s.'
            )
