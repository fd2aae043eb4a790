"""The schedule of a run whose length has changed."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mmengine.optim import ReduceOnPlateauParamScheduler, _ParamScheduler
from mmengine.registry import PARAM_SCHEDULERS
from mmengine.runner import Runner

from ..errors import InputError

# Of a scheduler's config, in epochs or iterations: numbers, and lists of numbers.
_PLACES = ('begin', 'end', 'T_max', 'total_steps', 'step_size', 'milestones', 'periods')


def check_plannable(runner: Runner) -> None:
    """Refuse schedulers that follow what is measured, whose values no plan tells.

    Raises:
        ValueError: If there is one.
    """
    for each in runner.param_schedulers or []:
        if isinstance(each, ReduceOnPlateauParamScheduler):
            raise InputError(
                'param_scheduler has a ReduceOnPlateau scheduler, which follows what is measured '
                'and cannot be fitted to another length of the run: take one that is planned, such '
                'as CosineAnnealingLR'
            )


def replan(runner: Runner) -> tuple[float, float]:
    """Give a run the schedule that it would have, had it been planned for its present length.

    The schedulers of the config are built for ``runner.max_epochs`` and stepped to where the run
    is. This holds for schedulers of any kind: the value at an iteration follows from the config,
    the iteration and the length alone, so that the run goes on as one of that length would. Its
    checkpoints hold the new plan. Where the run is shorter than its config says (``max_epochs``),
    the places of its schedulers (``begin``, ``end``, ``milestones``, …) shrink in proportion, and
    with them the warm-up.

    Args:
        runner (Runner | FlexibleRunner): Of mmengine, with one optimiser, in ``before_train`` or
            between two iterations. Its schedulers and the values in its optimiser are changed.

    Returns:
        tuple[float, float]: The learning rate before and after.

    Raises:
        ValueError: See :func:`check_plannable`.
    """
    check_plannable(runner)
    groups = runner.optim_wrapper.param_groups
    before = groups[0]['lr']
    length = len(runner.train_dataloader)
    planned = runner.cfg.get('train_cfg') or {}
    if 'max_epochs' in planned:
        shrink = min(1.0, runner.max_epochs / planned['max_epochs'])
    else:
        shrink = min(1.0, runner.max_iters / planned.get('max_iters', runner.max_iters))
    configs = runner.cfg.get('param_scheduler') or []
    configs = list(configs) if isinstance(configs, Sequence) else [configs]
    old = runner.param_schedulers or []

    # On a stand-in for the optimiser, so that nothing but the values changes there.
    optimizer = _StandIn(runner.optim_wrapper, {each.param_name for each in old})
    new = [
        PARAM_SCHEDULERS.build(
            _planned(cfg, runner.max_epochs, runner.max_iters, length, shrink),
            default_args=dict(optimizer=optimizer, epoch_length=length),
        )
        for cfg in configs
    ]
    _step(new, runner.iter, length)

    for scheduler, planned in zip(old, new, strict=True):
        scheduler.load_state_dict(planned.state_dict())
        for group, values in zip(groups, optimizer.param_groups, strict=True):
            group[planned.param_name] = values[planned.param_name]
    return before, groups[0]['lr']


class _StandIn(torch.optim.Optimizer):
    """The groups of another optimiser, scheduled values as they were at first; trains nothing."""

    def __init__(self, optimizer, scheduled: set[str]) -> None:
        groups = []
        for group in optimizer.param_groups:
            values = {key: each for key, each in group.items() if not key.startswith('param')}
            values.update({name: group.get(f'initial_{name}', group[name]) for name in scheduled})
            groups.append(dict(values, params=[torch.nn.Parameter(torch.zeros(1))]))
        super().__init__(groups, optimizer.defaults)

    def step(self, closure=None) -> None:
        """Schedulers warn unless it was called before them."""


def _planned(cfg: dict, max_epochs: int, max_iters: int, length: int, shrink: float) -> dict:
    """The config of a scheduler for a run of ``max_epochs`` epochs of ``length`` iterations."""
    cfg = dict(cfg)
    unit = 1
    if shrink < 1 and cfg.get('by_epoch', True) and cfg.pop('convert_to_iter_based', False):
        cfg['by_epoch'], unit = False, length
    end = max_epochs if cfg.get('by_epoch', True) else max_iters
    if shrink < 1:

        def shorter(place: int) -> int:
            # Two at least: the first step of a warm-up is its lowest value.
            return max(round(place * unit * shrink), 2)

        for key in _PLACES:
            if cfg.get(key):
                value = cfg[key]
                several = isinstance(value, Sequence)
                cfg[key] = [*map(shorter, value)] if several else shorter(value)
        begin = cfg.get('begin', 0)
        if 'end' in cfg or begin + 2 > end:
            cfg['end'] = max(cfg.get('end', 0), begin + 2)
    cfg.setdefault('end', end)
    return cfg


def _step(schedulers: list[_ParamScheduler], iterations: int, length: int) -> None:
    """Step schedulers as ``ParamSchedulerHook`` does in so many iterations."""
    for scheduler in schedulers[:1]:
        scheduler.optimizer.step()
    for iteration in range(1, iterations + 1):
        for scheduler in schedulers:
            if not scheduler.by_epoch or iteration % length == 0:
                scheduler.step()
