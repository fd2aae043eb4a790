from types import SimpleNamespace

import pytest
from mmengine.logging import MessageHub
from mmengine.runner import LogProcessor

from mmc_plugin.engine.hooks import throughput
from mmc_plugin.engine.hooks.throughput import ThroughputHook


@pytest.mark.parametrize('processes', [1, 4])
def test_rate_over_the_window_and_all_processes(monkeypatch, processes):
    monkeypatch.setattr(throughput, 'get_world_size', lambda: processes)
    hub = MessageHub(f'rate{processes}')
    runner = SimpleNamespace(message_hub=hub)
    monkeypatch.setattr(throughput, 'WINDOW', 2)
    hook = ThroughputHook()
    hook.before_train(runner)
    batch = dict(data_samples=[None] * 6)
    for seconds in (100.0, 1.0, 2.0):
        hub.update_scalar('train/time', seconds)
        hook.after_train_iter(runner, 0, batch)
    assert hub.get_scalar('train/images_per_second').current() == 6 * processes / 1.5
    assert len(hub.get_scalar('train/images_per_second').data[0]) == 1
    shown = LogProcessor()._collect_scalars([], runner, 'train')
    assert shown['images_per_second'] == 6 * processes / 1.5


def test_runs_between_timer_and_logger():
    from mmengine.hooks import IterTimerHook, LoggerHook
    from mmengine.runner import get_priority

    order = [get_priority(hook.priority) for hook in (IterTimerHook, ThroughputHook, LoggerHook)]
    assert order == sorted(set(order))
