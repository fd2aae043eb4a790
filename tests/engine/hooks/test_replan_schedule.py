"""A run that is resumed with another length has the rates of a run of that length."""

import math
import os

import pytest
import torch

from ..conftest import LOW, TOP, Watch

LENGTH = 12


def run(train_line, epochs, name='run', **options):
    """Train; the watch, and the lines of the log that tell of a new plan."""
    watch = Watch()
    train_line(watch, epochs, LENGTH, name, **options)
    return watch, [line for line in watch.log if 'planned for' in line]


def test_made_longer_after_its_end(train_line):
    straight, log = run(train_line, 16, 'straight')
    assert straight.rates == pytest.approx(straight.closed_form(LENGTH, 16)) and not log
    first, log = run(train_line, 8)
    assert first.rates == pytest.approx(first.closed_form(LENGTH, 8)) and not log
    then, (line,) = run(train_line, 16, resume=True)
    assert then.rates == straight.rates[8 * LENGTH :]
    assert first.rates[-1] < TOP / 300 and then.rates[0] > TOP / 2 and then.rates[-1] < 2 * LOW
    assert 'planned for 8 epochs, this one has 16' in line
    assert f'from epoch 9 on, learning rate {first.rates[-1]:.3g} → {then.rates[0]:.3g}' in line


def test_checkpoints_hold_the_new_plan(train_line, tmp_path):
    straight, _ = run(train_line, 6, 'straight')
    run(train_line, 3)
    run(train_line, 6, resume=True)
    again, log = run(train_line, 6, resume=True, load_from=str(tmp_path / 'run' / 'epoch_4.pth'))
    assert again.rates == straight.rates[4 * LENGTH :] and not log


def test_made_shorter(train_line, tmp_path):
    short, _ = run(train_line, 4, 'short')
    run(train_line, 6)
    middle = str(tmp_path / 'run' / 'epoch_3.pth')
    then, (line,) = run(train_line, 4, resume=True, load_from=middle)
    assert then.rates == short.rates[3 * LENGTH :]
    assert 'planned for 6 epochs, this one has 4' in line


def test_resumed_with_the_same_length(train_line, tmp_path):
    straight, _ = run(train_line, 4)
    os.remove(tmp_path / 'run' / 'epoch_4.pth')
    (tmp_path / 'run' / 'last_checkpoint').write_text(str(tmp_path / 'run' / 'epoch_3.pth'))
    then, log = run(train_line, 4, resume=True)
    assert then.rates == straight.rates[3 * LENGTH :] and not log


@pytest.mark.parametrize('schedule', [{}, dict(schedulers=[])], ids=['cosine', 'constant'])
def test_resumed_with_another_learning_rate(train_line, tmp_path, schedule):
    """The host would go on with that of the checkpoint, whatever the config says."""
    other = dict(lr=TOP / 4, momentum=0.5)
    straight, _ = run(train_line, 4, 'straight', optimizer=other, **schedule)
    run(train_line, 4, **schedule)
    third = str(tmp_path / 'run' / 'epoch_3.pth')
    then, log = run(train_line, 4, resume=True, load_from=third, optimizer=other, **schedule)
    assert then.rates == straight.rates[3 * LENGTH :] and not log
    (line,) = [line for line in then.log if 'settings of the config' in line]
    assert f'lr {TOP} → {TOP / 4}; momentum 0 → 0.5' in line
    saved = torch.load(tmp_path / 'run' / 'epoch_4.pth', weights_only=False)['optimizer']
    assert saved['param_groups'][0]['momentum'] == 0.5
    weights = str(tmp_path / 'run' / 'epoch_4.pth')
    same, log = run(train_line, 5, resume=True, load_from=weights, optimizer=other, **schedule)
    assert len(log) == 1 and not [line for line in same.log if 'settings of the config' in line]


def test_weights_alone_are_no_run(train_line, tmp_path):
    straight, _ = run(train_line, 4, 'straight')
    run(train_line, 3)
    weights = str(tmp_path / 'run' / 'epoch_3.pth')
    then, log = run(train_line, 4, 'other', load_from=weights)
    assert then.rates == straight.rates and not log


def test_a_run_by_iterations_made_longer(train_line):
    def train(name, iterations, **options):
        watch = Watch()
        train_line(
            watch,
            length=LENGTH,
            name=name,
            train_cfg=dict(by_epoch=False, max_iters=iterations),
            schedulers=[dict(type='CosineAnnealingLR', eta_min=LOW, by_epoch=False)],
            hooks=dict(checkpoint=dict(type='CheckpointHook', by_epoch=False, interval=24)),
            **options,
        )
        return watch

    straight = train('straight', 48)
    expected = [LOW + (TOP - LOW) * (1 + math.cos(math.pi * i / 48)) / 2 for i in range(48)]
    assert straight.rates == pytest.approx(expected)
    train('run', 24)
    then = train('run', 48, resume=True)
    assert then.rates == pytest.approx(expected[24:])
    (line,) = [line for line in then.log if 'planned for' in line]
    assert 'planned for 24 iterations, this one has 48' in line and 'from iteration 25 on' in line
