"""Schedules planned anew against closed forms, and against mmengine's own run of that length."""

import copy
import math
import warnings
from types import SimpleNamespace

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import ParamSchedulerHook
from mmengine.optim import OptimWrapper
from mmengine.registry import PARAM_SCHEDULERS

from mmc_plugin.engine.schedule import replan
from mmc_plugin.errors import InputError

TOP, LOW, START, WARM_UP = 1.5e-3, 1e-6, 1e-2, 2  # epochs of warm-up
LENGTH = 6  # iterations of an epoch
LIKE_OURS = [
    dict(
        type='LinearLR',
        start_factor=START,
        by_epoch=True,
        begin=0,
        end=WARM_UP,
        convert_to_iter_based=True,
    ),
    dict(
        type='CosineAnnealingLR',
        eta_min=LOW,
        by_epoch=True,
        begin=WARM_UP,
        convert_to_iter_based=True,
    ),
]


class Run:
    """What replan and the scheduler hook see of a runner."""

    def __init__(self, epochs: int, schedulers: list[dict]) -> None:
        one, two = (torch.nn.Parameter(torch.zeros(2)) for _ in range(2))
        groups = [dict(params=[one]), dict(params=[two], lr=TOP / 2, weight_decay=0.02)]
        self.optim_wrapper = OptimWrapper(torch.optim.AdamW(groups, lr=TOP, weight_decay=0.04))
        self.cfg = Config(dict(train_cfg=dict(max_epochs=epochs), param_scheduler=schedulers))
        self.train_dataloader = range(LENGTH)
        self.train_loop = SimpleNamespace(iter=0)
        self.set_length(epochs)
        self.param_schedulers = [  # as Runner.build_param_scheduler does
            PARAM_SCHEDULERS.build(
                dict(end=epochs if each.get('by_epoch', True) else epochs * LENGTH, **dict(each))
                if 'end' not in each
                else each,
                default_args=dict(optimizer=self.optim_wrapper, epoch_length=LENGTH),
            )
            for each in self.cfg.param_scheduler
        ]

    def set_length(self, epochs: int) -> None:
        self.max_epochs, self.max_iters = epochs, epochs * LENGTH

    @property
    def iter(self) -> int:
        return self.train_loop.iter

    def values(self) -> list[tuple]:
        return [(each['lr'], each['weight_decay']) for each in self.optim_wrapper.param_groups]

    def train(self, iterations: int) -> list[list[tuple]]:
        """Values that each of so many iterations is trained with."""
        hook, seen = ParamSchedulerHook(), []
        for _ in range(iterations):
            seen.append(self.values())
            self.optim_wrapper.step()
            hook.after_train_iter(self, 0)
            self.train_loop.iter += 1
            if self.iter % LENGTH == 0:
                hook.after_train_epoch(self)
        return seen


@pytest.fixture(autouse=True)
def no_warning():
    """Schedulers warn where they are not stepped in turns with the optimiser."""
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        yield


def closed_form(iteration: int, epochs: float, warm_up: int) -> float:
    """The learning rate of :data:`LIKE_OURS`, with ``warm_up`` iterations."""
    if iteration < warm_up:
        return TOP * (START + (1 - START) * iteration / (warm_up - 1))
    passed = (iteration - warm_up) / (epochs * LENGTH - warm_up)
    return LOW + (TOP - LOW) * (1 + math.cos(math.pi * passed)) / 2


def check(run: Run, epochs: int, warm_up: int) -> None:
    at, rest = run.iter, run.max_iters - run.iter
    rates = [values[0][0] for values in run.train(rest)]
    expected = [closed_form(at + i, epochs, warm_up) for i in range(rest)]
    assert rates == pytest.approx(expected, rel=1e-9)
    assert rates[-1] < TOP / 100


def test_a_run_made_longer_has_the_rates_of_the_closed_form():
    run = Run(8, LIKE_OURS)
    run.train(8 * LENGTH)
    assert run.values()[0][0] < TOP / 300
    run.set_length(16)
    run.cfg.train_cfg.max_epochs = 16
    before, after = replan(run)
    assert before < TOP / 300 and after > TOP / 2
    check(run, 16, WARM_UP * LENGTH)


@pytest.mark.parametrize('at', [0, 1, 5, 6, 20, 29])
def test_a_run_made_shorter_has_them_in_proportion(at):
    run = Run(30, LIKE_OURS)
    run.train(at)
    run.set_length(15)
    replan(run)
    check(run, 15, WARM_UP * LENGTH // 2)


SEVERAL = [
    *LIKE_OURS,
    dict(
        type='CosineAnnealingParamScheduler',
        param_name='weight_decay',
        eta_min_ratio=2.0,
        by_epoch=False,
    ),
]
OTHERS = [
    SEVERAL,
    [dict(type='PolyLR', power=0.9, eta_min=LOW)],  # by epoch
    [dict(type='MultiStepLR', milestones=[3, 7], gamma=0.1, by_epoch=True)],
    [dict(type='ExponentialLR', gamma=0.9, by_epoch=False, begin=4)],
    [],
]


@pytest.mark.parametrize('schedulers', OTHERS)
def test_any_scheduler_goes_on_as_in_a_run_of_that_length(schedulers):
    straight = Run(14, schedulers)
    expected = straight.train(14 * LENGTH)
    run = Run(9, schedulers)
    run.train(5 * LENGTH + 2)
    run.set_length(14)
    run.cfg.train_cfg.max_epochs = 14
    replan(run)
    assert run.train(14 * LENGTH - run.iter) == expected[5 * LENGTH + 2 :]
    assert straight.values() == run.values()


@pytest.mark.parametrize('convert', [False, True])
@pytest.mark.parametrize('at', [0, 5, 7 * LENGTH + 1])
def test_steps_move_in_proportion(at, convert):
    """Of 30 epochs to 15: a step at 11 goes to 5.5, one at 24 to 12; restarts likewise."""
    steps = dict(type='MultiStepLR', milestones=[11, 24], gamma=0.1, convert_to_iter_based=convert)
    run = Run(30, [steps])
    run.train(at)
    run.set_length(15)
    replan(run)
    places = (33, 72) if convert else (6 * LENGTH, 12 * LENGTH)  # by epoch: 5.5 is rounded
    expected = [TOP * 0.1 ** sum(i >= place for place in places) for i in range(15 * LENGTH)]
    assert [each[0][0] for each in run.train(15 * LENGTH - at)] == pytest.approx(expected[at:])


def test_periods_move_in_proportion():
    def restarts(*periods):
        weights = [1, 0.5]
        return [
            dict(
                type='CosineRestartLR', periods=list(periods), restart_weights=weights, eta_min=LOW
            )
        ]

    run, straight = Run(30, restarts(10, 20)), Run(15, restarts(5, 10))
    run.train(LENGTH)
    run.set_length(15)
    replan(run)
    assert run.train(14 * LENGTH) == straight.train(15 * LENGTH)[LENGTH:]


def test_what_follows_measurements_is_refused():
    run = Run(9, [])
    cfg = dict(type='ReduceOnPlateauLR', monitor='loss')
    optimizer = dict(optimizer=run.optim_wrapper)
    run.param_schedulers = [PARAM_SCHEDULERS.build(cfg, default_args=optimizer)]
    with pytest.raises(InputError, match='ReduceOnPlateau scheduler, which follows what is meas'):
        replan(run)


def test_same_length_changes_nothing():
    run, other = Run(9, SEVERAL), Run(9, SEVERAL)
    assert run.train(23) == other.train(23)
    replan(run)
    assert run.train(31) == other.train(31)


def test_the_plan_is_in_the_state_of_the_schedulers():
    run = Run(30, SEVERAL)
    run.train(4)
    run.set_length(10)
    replan(run)
    run.train(20)
    resumed = Run(30, SEVERAL)
    resumed.optim_wrapper.load_state_dict(copy.deepcopy(run.optim_wrapper.state_dict()))
    resumed.train_loop.iter = run.iter
    for new, old in zip(resumed.param_schedulers, run.param_schedulers, strict=True):
        new.load_state_dict(old.state_dict())
    assert resumed.train(36) == run.train(36)
    assert run.values()[0][0] < TOP / 300


@pytest.mark.parametrize('at', [0, 3, 6])
def test_a_length_that_leaves_no_room_for_the_warm_up(at):
    """The proportion is .4 of an iteration: two it gets."""
    run = Run(30, LIKE_OURS)
    run.train(at)
    run.set_length(1)
    replan(run)
    rates = [values[0][0] for values in run.train(LENGTH - at)]
    assert rates == pytest.approx([closed_form(i, 1, 2) for i in range(at, LENGTH)])
