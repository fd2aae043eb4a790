"""A training under a time limit, with a clock of the test's own."""

import math
import random
from types import SimpleNamespace

import pytest
import torch

from mmc_plugin.engine import loops
from mmc_plugin.engine.loops import TimeLimitedTrainLoop

from .conftest import TOP, Watch

LENGTH, START = 12, 1000.0


class Machine(Watch):
    """Lets a clock go on as iterations and the ends of epochs would."""

    def __init__(self, an_iteration, an_end=0.0, before=0.0) -> None:
        super().__init__()
        self.an_iteration, self.an_end, self.before = an_iteration, an_end, before
        self.now = START
        self.last = []

    @property
    def passed(self) -> float:
        return self.now - START

    def before_train(self, runner) -> None:
        super().before_train(runner)
        self.now += self.before

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        self.now += self.an_iteration(runner.iter)

    def after_train_epoch(self, runner) -> None:
        self.now += self.an_end
        if self.is_last_train_epoch(runner):
            self.last.append(runner.epoch)


@pytest.fixture
def train(train_line, monkeypatch):
    """Train on a machine for at most 30 epochs; returns the runner."""

    def train(machine, seconds=300.0, length=LENGTH, loop=None, **options):
        # In this module alone: what waits elsewhere needs a clock that goes on.
        monkeypatch.setattr(loops, 'time', SimpleNamespace(monotonic=lambda: machine.now))
        loop = dict(type='TimeLimitedTrainLoop', seconds=seconds) | dict(loop or {})
        return train_line(machine, 30, length, train_cfg=loop, **options)

    return train


def check_rates(machine: Machine) -> None:
    """Each rate is that of a run of the length that was planned then; the last ones are low."""
    assert machine.rates == pytest.approx(machine.closed_form(LENGTH, 30), rel=1e-9)
    assert machine.rates[-1] < TOP / 50
    assert machine.last == [machine.lengths[-1] // LENGTH - 1]


def test_a_fast_machine_trains_as_without_a_limit(train):
    machine = Machine(lambda i: 0.8)  # 288 s
    runner = train(machine)
    assert runner.epoch == 30 and set(machine.lengths) == {30 * LENGTH}
    check_rates(machine)
    plain = Machine(lambda i: 1e-3)
    other = train(plain, seconds=1e9)
    assert plain.rates == machine.rates
    assert torch.equal(runner.model.layer.weight, other.model.layer.weight)


@pytest.mark.parametrize('seconds', [0.9, 2.0, 2.3, 6.0, 11.0])
def test_a_slow_machine_ends_annealed_in_time(train, seconds):
    machine = Machine(lambda i: seconds, an_end=0.6, before=5.0)
    runner = train(machine)
    an_epoch = LENGTH * seconds + 0.6
    assert machine.passed <= 1.05 * 300
    assert machine.passed > 300 - 1.1 * an_epoch
    assert runner.epoch < 30
    check_rates(machine)
    # Planned after the first ten iterations, next to right.
    assert machine.lengths[:10] == [30 * LENGTH] * 10
    assert abs(machine.lengths[10] // LENGTH - runner.epoch) <= 2
    assert runner.message_hub.get_info('max_epochs') == runner.epoch == runner.max_epochs
    assert runner.max_iters == runner.iter == len(machine.rates)
    assert runner.train_loop.shortening == 30 / runner.epoch
    words = f'{machine.lengths[10] // LENGTH} of at most 30 epochs fit into 300 s, at'
    assert [line for line in machine.log if ' fit into ' in line][0].startswith(words)


def test_noise_does_not_change_the_plan_at_each_turn(train):
    generator = random.Random(0)
    machine = Machine(lambda i: 2.0 * generator.lognormvariate(0, 0.5))
    train(machine)
    assert machine.passed <= 1.1 * 300
    changes = sum(a != b for a, b in zip(machine.lengths, machine.lengths[1:]))
    assert 1 <= changes <= 3
    check_rates(machine)


@pytest.mark.parametrize(
    ('first', 'then', 'longer'), [(1.0, 3.0, False), (3.0, 1.0, True), (6.0, 0.5, True)]
)
def test_a_machine_that_changes_its_pace(train, first, then, longer):
    machine = Machine(lambda i: first if i < 14 else then)
    runner = train(machine)
    planned = machine.lengths[10] // LENGTH
    assert (runner.epoch > planned) is longer and runner.epoch != planned
    assert machine.passed <= 1.1 * 300
    check_rates(machine)


@pytest.mark.parametrize(('length', 'seconds'), [(1, 100.0), (2, 100.0), (4, 30.0), (12, 400.0)])
def test_at_least_one_epoch_and_short_ones(train, length, seconds):
    machine = Machine(lambda i: seconds)
    runner = train(machine, length=length)
    assert runner.epoch == max(1, int(300 / seconds / length))
    assert any('Not even one epoch fits into' in line for line in machine.log) is (seconds == 400)
    assert math.isfinite(machine.rates[-1])


def test_a_resumed_run_has_the_time_that_is_left_and_ends_annealed(train):
    class Killed(Exception):
        pass

    def dies(i):
        if i == 5 * LENGTH + 3:
            raise Killed
        return 2.0

    with pytest.raises(Killed):
        train(Machine(dies))
    machine = Machine(lambda i: 2.0)
    runner = train(machine, resume=True)
    assert len(machine.rates) == runner.iter - 5 * LENGTH
    # The checkpoint is of the fifth epoch's end, 120 s after the start.
    assert 11 <= runner.epoch <= 13
    assert 300 - 1.1 * 2 * LENGTH < 120 + machine.passed <= 1.05 * 300
    check_rates(machine)


@pytest.mark.parametrize('an_iteration, epochs', [(0.25, 100), (2.0, 12)])
def test_as_many_epochs_as_fit_with_the_schedule_of_a_run_of_that_length(
    train, an_iteration, epochs
):
    machine = Machine(lambda i: an_iteration)
    runner = train(machine, loop=dict(most_epochs=1000))
    assert 0.9 * epochs <= runner.epoch <= 1.05 * epochs
    # A longer run keeps its momentum and its warm-up, as if max_epochs had been set to its length.
    assert runner.train_loop.shortening == max(1, 30 / runner.epoch)
    check_rates(machine)
    assert any('of at most 1000 epochs fit into 300 s' in line for line in machine.log)


def test_the_first_process_decides(train, monkeypatch):
    def broadcast(chosen):
        chosen[0] = min(chosen[0], 9)

    monkeypatch.setattr(loops, 'broadcast_object_list', broadcast)
    machine = Machine(lambda i: 0.1)
    runner = train(machine)
    assert runner.epoch == 9 and set(machine.lengths[10:]) == {9 * LENGTH}
    check_rates(machine)


@pytest.mark.parametrize('seconds', [0, math.nan, math.inf])
def test_refuses_what_is_no_time(seconds):
    with pytest.raises(ValueError, match=f'seconds must be positive and finite, got {seconds}'):
        TimeLimitedTrainLoop(None, None, max_epochs=3, seconds=seconds)
