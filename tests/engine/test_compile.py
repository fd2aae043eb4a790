"""A training step that torch.compile captures has the losses of the plain one.

On a CPU the graphs are run as they are captured: code for one takes minutes to make.
"""

from pathlib import Path

import pytest
import torch

from mmc_plugin.engine.cli import complete_loader
from mmc_plugin.engine.training import train, training_config
from mmc_plugin.visualization.run_log import read_scalars

CONFIG = str(Path(__file__).parents[1] / 'configs' / 'tiny_mmc.py')


def losses(photo_folder, work_dir, **options) -> torch.Tensor:
    settings = {
        'train_dataloader.dataset.data_root': str(photo_folder), 'train_cfg.max_epochs': 1,
        'train_dataloader.num_workers': 0, 'train_dataloader.batch_size': 4,
        'optim_wrapper.precision': 'fp32', 'param_scheduler': None,
        'model.backbone.drop_path_rate': 0.0, 'optim_wrapper.optimizer.lr': 1e-3, **options,
    }  # fmt: skip
    cfg = training_config(CONFIG, settings, str(work_dir))
    complete_loader(cfg, 'train_dataloader')
    train(cfg)
    records = [each for each in read_scalars(str(work_dir)) if 'loss' in each]
    names = ('loss_rec', 'loss_patch', 'loss_cls')
    return torch.tensor([[each[name] for name in names] for each in records], dtype=torch.float64)


@pytest.mark.parametrize('backend', [
    'eager', pytest.param('inductor', marks=pytest.mark.gpu),  # minutes on a CPU
])  # fmt: skip
def test_it_has_the_same_losses(photo_folder, tmp_path, backend):
    plain = losses(photo_folder, tmp_path / 'plain')
    compiled = losses(photo_folder, tmp_path / 'compiled', compile=dict(backend=backend))
    assert len(plain) == 2 and len(plain.unique()) == 6
    assert torch.allclose(compiled, plain, atol=1e-5, rtol=1e-5)
