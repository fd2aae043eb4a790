"""The timing loop of the benchmarks, against a clock that is known."""

import time
from pathlib import Path

import numpy as np
import pytest
import torch

BENCHMARKS = Path(__file__).resolve().parents[2] / 'tools' / 'benchmarks'


@pytest.fixture
def timing(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import timing

    return timing


def test_turns_run_everything_once_and_the_warm_up_does_not_count(timing, monkeypatch):
    now, calls, costs = [0.0], [], dict(fast=[9, 9, 1, 2, 4], slow=[9, 9, 3, 5, 8])
    monkeypatch.setattr(timing, 'clock', lambda device: now[0])

    def run(name):
        def call():
            now[0] += costs[name][calls.count(name)]
            calls.append(name)

        return call

    times = timing.in_turns([run('fast'), run('slow')], repeats=3, warmup=2, device='cpu')
    assert calls == ['fast', 'slow'] * 5
    assert np.array_equal(times, [[1, 3], [2, 5], [4, 8]])
    spread = timing.ratio(*times.T[::-1])
    assert spread == (2.5, 2.0, 3.0) and str(spread) == '2.500 [2.000, 3.000]'


@pytest.mark.parametrize('device, waiting_counts', [('cpu', False), ('wall', True)])
def test_a_result_comes_with_the_seconds_on_the_clock_of_its_device(timing, device, waiting_counts):
    seconds, result = timing.timed(lambda: time.sleep(0.2) or 'result', device)
    assert result == 'result'
    assert (seconds >= 0.2) == waiting_counts and seconds < 60


def test_a_gpu_has_finished_before_its_clock_is_read(timing, monkeypatch):
    events = []
    monkeypatch.setattr(torch.cuda, 'synchronize', lambda device: events.append(device))
    timing.timed(lambda: events.append('run'), 'cuda:1')
    assert events == ['cuda:1', 'run', 'cuda:1']
