"""The screen shows less than the log file, and warnings as well as news always."""

import re

import pytest
import torch
from mmengine.config import Config
from mmengine.logging import print_log
from mmengine.runner import Runner

from mmc_plugin.engine import runner as runner_module
from mmc_plugin.engine.runner import build_runner

NOISE = [
    'paramwise_options -- backbone.ln1.bias:weight_decay=0.0',
    'Exp name: quickstart_20261124',
    '"FileClient" will be deprecated in future.',
]
NEWS = ['Epoch(train) [1][ 5/30]  loss: 3', 'Saving checkpoint at 3 epochs']


@pytest.fixture
def runner(tmp_path, capsys):
    cfg = dict(
        model=dict(type='mmpretrain.ImageClassifier', backbone=dict(type='LeNet5', num_classes=2)),
        work_dir=str(tmp_path), experiment_name=tmp_path.name, default_scope='mmpretrain',
        env_cfg=dict(mp_cfg=dict(mp_start_method='fork')),
    )  # fmt: skip
    torch.manual_seed(0)
    built = build_runner(Config(cfg))
    for text in NOISE + NEWS:
        print_log(text, logger='current')
    built.logger.warning('look out')
    return built


def test_the_file_holds_all_and_the_screen_what_is_read(runner, tmp_path, capsys):
    assert isinstance(runner, Runner)
    (path,) = tmp_path.glob('*/*.log')
    written, shown = path.read_text(), capsys.readouterr().out
    begin = ('System environment', 'Config:\n', 'Hooks will be executed')
    for text in (*begin, *NOISE, *NEWS, 'look out'):
        assert text in written
        assert (text in shown) == (text in NEWS or text == 'look out'), text
    assert f'parameter groups: {path}' in re.sub(r'\s+', ' ', shown)
    assert len(shown.splitlines()) < 10 < len(written.splitlines())


@pytest.mark.parametrize('installed', [True, False])
def test_tensorboard_is_done_without_where_it_is_not_installed(installed, monkeypatch, capsys):
    backends = [dict(type='LocalVisBackend'), dict(type='mmengine.TensorboardVisBackend')]
    cfg = Config(dict(visualizer=dict(type='Visualizer', vis_backends=backends)))
    monkeypatch.setattr(runner_module, 'find_spec', lambda name: name if installed else None)
    runner_module._drop_tensorboard(cfg)
    assert cfg.visualizer.vis_backends == backends[: 1 + installed]
    assert ('pip install tensorboard' in capsys.readouterr().out) is not installed
    runner_module._drop_tensorboard(Config(dict(visualizer=None)))
