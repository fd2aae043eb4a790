"""Adds the rate in images per second to a run's log."""

from __future__ import annotations

from mmengine.dist import get_world_size
from mmengine.hooks import Hook
from mmengine.logging import HistoryBuffer
from mmengine.runner import Runner
from mmpretrain.registry import HOOKS

WINDOW = 10  # iterations to average over, as ``time`` in the log


@HOOKS.register_module()
class ThroughputHook(Hook):
    """Puts ``train/images_per_second``, over all processes, into the message hub.

    The log's line, its JSON and TensorBoard show it beside ``time``, ``data_time`` and ``eta`` of
    :class:`IterTimerHook`, which has to be there too.
    """

    priority = 55  # after IterTimerHook (50), which measures; before LoggerHook (60), which shows

    def before_train(self, runner: Runner) -> None:
        """Make room for one number: the default buffer copies its whole history at each update."""
        runner.message_hub.log_scalars['train/images_per_second'] = HistoryBuffer(max_length=1)

    def after_train_iter(self, runner: Runner, batch_idx, data_batch=None, outputs=None) -> None:
        """Update the rate."""
        images = len(data_batch['data_samples']) * get_world_size()
        seconds = runner.message_hub.get_scalar('train/time').mean(WINDOW)
        runner.message_hub.update_scalar('train/images_per_second', float(images / seconds))
