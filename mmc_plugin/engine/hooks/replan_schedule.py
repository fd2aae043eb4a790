"""Steps the schedules, and plans them anew for a resumed run of another length."""

from __future__ import annotations

from mmengine.hooks import ParamSchedulerHook
from mmpretrain.registry import HOOKS

from ..schedule import replan


@HOOKS.register_module()
class ReplanSchedulerHook(ParamSchedulerHook):
    """mmengine's ``ParamSchedulerHook`` for runs that may be made longer, or shorter.

    With a checkpoint the host loads the schedules of the length that the run was planned for when
    it was written, so a run that is resumed with more ``max_epochs`` would go on with the rate
    that the last one ended with, which is next to nothing. Here it goes on with the rate
    that a run of the new length has at that point (:func:`replan`), and the log says so.
    """

    _planned: int | None = None

    def after_load_checkpoint(self, runner, checkpoint: dict) -> None:
        """Read what length the checkpoint was planned for."""
        infos = checkpoint.get('message_hub', {}).get('runtime_info', {})
        self._planned = infos.get('max_epochs')

    def before_train(self, runner) -> None:
        """Plan anew if that length is another one; weights that were only loaded do not count."""
        planned, epochs = self._planned, runner.max_epochs
        if runner.iter == 0 or planned in (None, epochs):
            return
        before, after = replan(runner)
        runner.logger.info(
            f'The checkpoint is of a run that was planned for {planned} epochs, this one has '
            f'{epochs}: the schedule is that of {epochs} epochs from epoch {runner.epoch + 1} on, '
            f'learning rate {before:.3g} → {after:.3g}.'
        )
