"""Steps the schedules, and plans them anew for a resumed run of another length."""

from __future__ import annotations

from mmengine.hooks import ParamSchedulerHook
from mmengine.runner import EpochBasedTrainLoop, Runner
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

    _planned: tuple[int | None, int | None] = None, None

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Read what length the checkpoint was planned for."""
        infos = checkpoint.get('message_hub', {}).get('runtime_info', {})
        self._planned = infos.get('max_epochs'), infos.get('max_iters')

    def before_train(self, runner: Runner) -> None:
        """Plan anew if that length is another one; weights that were only loaded do not count."""
        by_epoch = isinstance(runner.train_loop, EpochBasedTrainLoop)
        unit, place = ('epochs', 0) if by_epoch else ('iterations', 1)
        planned = self._planned[place]
        length = runner.max_epochs if by_epoch else runner.max_iters
        if runner.iter == 0 or planned in (None, length):
            return
        before, after = replan(runner)
        done = runner.epoch if by_epoch else runner.iter
        runner.logger.info(
            f'The checkpoint is of a run that was planned for {planned} {unit}, this one has '
            f'{length}: the schedule is that of {length} {unit} from {unit[:-1]} {done + 1} on, '
            f'learning rate {before:.3g} → {after:.3g}.'
        )
