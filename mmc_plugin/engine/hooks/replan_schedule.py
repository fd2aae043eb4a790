"""Steps the schedules, and plans them anew for a resumed run of other length or settings."""

from __future__ import annotations

from typing import Any

from mmengine.hooks import ParamSchedulerHook
from mmengine.optim import OptimWrapper
from mmengine.runner import EpochBasedTrainLoop, Runner
from mmpretrain.registry import HOOKS

from ...wording import counted
from ..schedule import replan

_OF_OPTIMIZER = ('lr', 'weight_decay', 'momentum', 'betas', 'eps')


@HOOKS.register_module()
class ReplanSchedulerHook(ParamSchedulerHook):
    """mmengine's ``ParamSchedulerHook`` for runs that may be made longer, or shorter.

    With a checkpoint the host loads the schedules of the length that the run was planned for when
    it was written, so a run that is resumed with more ``max_epochs`` would go on with the rate
    that the last one ended with, which is next to nothing. Here it goes on with the rate
    that a run of the new length has at that point (:func:`replan`), and the log says so.

    The host also loads learning rate, weight decay and the like of the optimiser, whatever the
    config says now. Here those of the config hold, and the log says which are others.
    """

    _planned: tuple[int | None, int | None] = None, None
    _changed: list[dict[str, Any]] = []

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Read what length the checkpoint was planned for, and what of its optimiser is other."""
        infos = checkpoint.get('message_hub', {}).get('runtime_info', {})
        self._planned = infos.get('max_epochs'), infos.get('max_iters')
        # The optimiser has yet to load its state: its values are those of the config.
        wrapper = getattr(runner, 'optim_wrapper', None)
        groups = wrapper.param_groups if isinstance(wrapper, OptimWrapper) else []
        saved = (checkpoint.get('optimizer') or {}).get('param_groups', [])
        self._changed = []
        if len(groups) == len(saved):  # else the host refuses it
            self._changed = [_others(*pair) for pair in zip(groups, saved, strict=True)]

    def before_train(self, runner: Runner) -> None:
        """Plan anew if anything is another; weights that were only loaded do not count."""
        changed = runner.iter > 0 and self._change(runner)
        by_epoch = isinstance(runner.train_loop, EpochBasedTrainLoop)
        unit, place = ('epoch', 0) if by_epoch else ('iteration', 1)
        planned = self._planned[place]
        length = runner.max_epochs if by_epoch else runner.max_iters
        longer = planned not in (None, length)
        if runner.iter == 0 or not (longer or changed):
            return
        before, after = replan(runner)
        if not longer:
            return
        done = runner.epoch if by_epoch else runner.iter
        runner.logger.info(
            f'The checkpoint is of a run that was planned for {counted(planned, unit)}, this one '
            f'has {length}: the schedule is that of {counted(length, unit)} from {unit} {done + 1} '
            f'on, learning rate {before:.3g} → {after:.3g}.'
        )

    def _change(self, runner: Runner) -> bool:
        """Give the optimiser the values of the config; whether any is another."""
        said: dict[str, str] = {}
        for group, values in zip(runner.optim_wrapper.param_groups, self._changed):
            for name, value in values.items():
                said.setdefault(name.removeprefix('initial_'), f'{group.get(name)} → {value}')
                group[name] = value
        if said:
            changes = '; '.join(f'{name} {change}' for name, change in said.items())
            runner.logger.info(f'The optimiser has the settings of the config: {changes}.')
        return bool(said)


def _others(group: dict[str, Any], saved: dict[str, Any]) -> dict[str, Any]:
    """Values of the config's optimiser that a saved group has otherwise; before any schedule."""
    names = (f'initial_{name}' if f'initial_{name}' in group else name for name in _OF_OPTIMIZER)
    names = [name for name in names if name in group and name in saved]
    return {name: group[name] for name in names if _plain(group[name]) != _plain(saved[name])}


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
