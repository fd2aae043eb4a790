"""The screen shows less than the log file, and warnings as well as news always."""

import re
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.logging import print_log
from mmengine.model import BaseModel
from mmengine.registry import DATASETS, MODELS
from mmengine.runner import Runner
from torch.utils.data import Dataset

from mmc_plugin.engine import runner as runner_module
from mmc_plugin.engine.runner import build_runner
from mmc_plugin.errors import InputError

NOISE = [
    'paramwise_options -- backbone.ln1.bias:weight_decay=0.0',
    'Exp name: quickstart_20261124',
    '"FileClient" will be deprecated in future.',
]


@MODELS.register_module()
class Heads(BaseModel):
    """As many layers as heads; with fewer, none of the model's weights is missing."""

    def __init__(self, heads: int, **kwargs) -> None:
        super().__init__(**kwargs)
        self.heads = torch.nn.ModuleList(torch.nn.Linear(1, 1) for _ in range(heads))

    def forward(self, inputs, data_samples=None, mode='loss'):
        return dict(loss=sum(head(torch.stack(inputs)).square().mean() for head in self.heads))


@DATASETS.register_module()
class Four(Dataset):
    """Four samples."""

    def __len__(self):
        return 4

    def __getitem__(self, index):
        return dict(inputs=torch.ones(1))


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


def test_a_resume_that_is_refused_leaves_the_config_of_the_run(tmp_path):
    def train(width: int, checkpoint: Path | None = None) -> None:
        path = tmp_path / 'source' / 'line.py'
        path.parent.mkdir(exist_ok=True)
        path.write_text(
            f'model = dict(type="Heads", heads={width})\n'
            'train_dataloader = dict(batch_size=2, sampler=dict(type="DefaultSampler"),'
            ' dataset=dict(type="Four"))\n'
            'train_cfg = dict(by_epoch=True, max_epochs=2)\n'
            'optim_wrapper = dict(optimizer=dict(type="SGD", lr=0.1))\n'
        )
        cfg = Config.fromfile(path)
        cfg.work_dir, cfg.experiment_name = str(tmp_path / 'run'), f'{tmp_path.name}_{width}'
        cfg.resume, cfg.load_from = checkpoint is not None, checkpoint and str(checkpoint)
        build_runner(cfg).train()

    train(2)
    config = tmp_path / 'run' / 'line.py'
    assert 'heads=2' in config.read_text()
    with pytest.raises(InputError, match=r'epoch_1\.pth does not fit the optimiser: .*group.*new'):
        train(1, tmp_path / 'run' / 'epoch_1.pth')
    assert 'heads=2' in config.read_text()
    config.unlink()
    train(2, tmp_path / 'run' / 'epoch_1.pth')
    assert 'heads=2' in config.read_text()


@pytest.mark.parametrize('installed', [True, False])
def test_tensorboard_is_done_without_where_it_is_not_installed(installed, monkeypatch, capsys):
    backends = [dict(type='LocalVisBackend'), dict(type='mmengine.TensorboardVisBackend')]
    cfg = Config(dict(visualizer=dict(type='Visualizer', vis_backends=backends)))
    monkeypatch.setattr(runner_module, 'find_spec', lambda name: name if installed else None)
    runner_module._drop_tensorboard(cfg)
    assert cfg.visualizer.vis_backends == backends[: 1 + installed]
    assert ('pip install tensorboard' in capsys.readouterr().out) is not installed
    runner_module._drop_tensorboard(Config(dict(visualizer=None)))
