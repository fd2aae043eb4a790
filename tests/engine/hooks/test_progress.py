"""What is printed when, with a clock of our own."""

import re
from types import SimpleNamespace

import pytest
from mmengine.hooks import LoggerHook

from mmc_plugin.engine.hooks import progress
from mmc_plugin.engine.hooks.progress import ProgressHook, duration
from mmc_plugin.errors import InputError


def train(monkeypatch, capsys, times, *, length=100, epochs=2, seconds=10.0, interval=50,
          limit=None, start=0, batch=4):  # fmt: skip
    """Lines with the iteration (from 1) at which they appear; ``times`` are of each iteration."""
    clock = [100.0]
    monkeypatch.setattr(progress.time, 'monotonic', lambda: clock[0])
    loop = SimpleNamespace(dataloader=range(length), **({'seconds': limit} if limit else {}))
    runner = SimpleNamespace(
        iter=start, epoch=start // length, max_iters=length * epochs, train_loop=loop,
        hooks=[LoggerHook(interval=interval)],
    )  # fmt: skip
    hook = ProgressHook(seconds)
    hook.before_train(runner)
    lines = []
    for each in times:
        clock[0] += each
        hook.after_train_iter(runner, runner.iter % length, dict(data_samples=[0] * batch))
        lines += [(runner.iter + 1, line) for line in capsys.readouterr().out.splitlines()]
        runner.iter += 1
        runner.epoch = runner.iter // length
    return lines


def test_lines_come_soon_and_then_every_ten_seconds(monkeypatch, capsys):
    lines = train(monkeypatch, capsys, [1.0] * 49)
    assert [at for at, _ in lines] == [2, 6, 14, 24, 34, 44]
    assert lines[0][1] == 'epoch 1, iteration 2 of 100: 4 images/s, 3 min 18 s left'
    assert lines[-1][1] == 'epoch 1, iteration 44 of 100: 4 images/s, 2 min 36 s left'


def test_a_line_of_the_log_counts_as_one(monkeypatch, capsys):
    lines = train(monkeypatch, capsys, [1.0] * 30, interval=5)
    assert [at for at, _ in lines] == [2, 9]  # after 2 s, and 4 s after the log's own; then never


def test_the_first_iteration_is_left_out_of_the_time_left(monkeypatch, capsys):
    lines = train(monkeypatch, capsys, [30.0] + [2.0] * 3, seconds=1.0)
    assert [at for at, _ in lines] == [1, 2, 3, 4]
    assert '1 h 39 min left' in lines[0][1]  # 199 times 30 s
    assert lines[1][1].endswith('2 images/s, 6 min 36 s left')  # 198 times 2 s


def test_a_resumed_run_counts_from_where_it_goes_on(monkeypatch, capsys):
    lines = train(monkeypatch, capsys, [5.0] * 2, start=150)
    assert [line for _, line in lines] == [
        'epoch 2, iteration 51 of 100: 0.8 images/s, 4 min 5 s left',
        'epoch 2, iteration 52 of 100: 0.8 images/s, 4 min 0 s left',
    ]


def test_no_more_time_is_left_than_the_loop_allows(monkeypatch, capsys):
    assert re.search(r' 50 s left$', train(monkeypatch, capsys, [10.0], limit=60, length=3)[0][1])


def test_an_epoch_that_is_longer_than_the_limit_is_not_said_to_be_over(monkeypatch, capsys):
    lines = train(monkeypatch, capsys, [10.0] * 9, limit=60, length=10, epochs=1)
    assert [line.split(', ')[-1] for _, line in lines] == [
        '1 min 30 s left', '1 min 20 s left', '1 min 10 s left', '1 min 0 s left', '50 s left',
        '40 s left', '30 s left', '20 s left', '10 s left',
    ]  # fmt: skip


def test_one_process_of_several_prints_the_rate_of_all(monkeypatch, capsys):
    monkeypatch.setattr(progress, 'get_world_size', lambda: 8)
    assert '32 images/s' in train(monkeypatch, capsys, [1.0] * 2)[0][1]
    monkeypatch.setattr(progress, 'is_main_process', lambda: False)
    assert train(monkeypatch, capsys, [1.0] * 5) == []


def test_a_time_must_be_positive():
    with pytest.raises(InputError, match='seconds must be positive, got 0'):
        ProgressHook(seconds=0)


@pytest.mark.parametrize(
    'seconds, text',
    [(0.4, '0 s'), (59.4, '59 s'), (60, '1 min 0 s'), (3599, '59 min 59 s'), (3661, '1 h 1 min'),
     (90061, '1 d 1 h')],
)  # fmt: skip
def test_durations(seconds, text):
    assert duration(seconds) == text
