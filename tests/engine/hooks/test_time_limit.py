import logging
from types import SimpleNamespace

import pytest

from mmc_plugin.engine.hooks import time_limit
from mmc_plugin.engine.hooks.time_limit import TimeLimitHook


@pytest.mark.parametrize(
    ('epoch_seconds', 'expected'),
    [
        ([10, 10, 10, 10, 10, 10], 3),  # a fourth would end at 40 > 35
        ([1, 1, 20, 1, 1, 1], 3),  # 22 + 20 > 35
        ([100, 1, 1], 1),  # at least one
        ([1, 1, 1], 3),  # all of them
    ],
)
def test_stops_before_the_epoch_that_would_be_too_long(monkeypatch, epoch_seconds, expected):
    now = [1000.0]
    monkeypatch.setattr(time_limit.time, 'monotonic', lambda: now[0])
    runner = SimpleNamespace(
        epoch=0,
        max_epochs=len(epoch_seconds),
        logger=logging.getLogger(),
        train_loop=SimpleNamespace(stop_training=False),
    )
    hook = TimeLimitHook(35)
    hook.before_train(runner)
    while runner.epoch < runner.max_epochs and not runner.train_loop.stop_training:
        now[0] += epoch_seconds[runner.epoch]
        hook.after_train_epoch(runner)
        runner.epoch += 1
    assert runner.epoch == expected
    assert runner.train_loop.stop_training == (expected < len(epoch_seconds))


def test_refuses_no_time():
    with pytest.raises(ValueError, match='positive'):
        TimeLimitHook(0)
