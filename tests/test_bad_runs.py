"""What a user can do wrong, or a machine, ends a training in one sentence and exit code 2."""

from __future__ import annotations

import os
import os.path as osp
import resource
import runpy
import signal
import sys
from contextlib import contextmanager

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmpretrain.registry import MODELS

ROOT = osp.dirname(osp.dirname(osp.abspath(__file__)))
TRAIN = osp.join(ROOT, 'tools', 'train.py')
CONFIG = osp.join(ROOT, 'tests', 'configs', 'tiny_mmc.py')


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """One thread; no yapf, which takes most of the time of a small run."""
    monkeypatch.setattr(Config, 'pretty_text', property(lambda config: ''))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def images(tmp_path) -> str:
    folder = tmp_path / 'images'
    folder.mkdir()
    generator = np.random.default_rng(0)
    for number in range(16):
        image = generator.integers(0, 255, (48, 64, 3), dtype=np.uint8)
        cv2.imwrite(str(folder / f'{number}.jpg'), image)
    return str(folder)


@pytest.fixture
def train(tmp_path, monkeypatch, capsys):
    """Runs ``tools/train.py`` and returns its last words."""

    def run(data_root: str, *options: str) -> str:
        settings = [
            f'train_dataloader.dataset.data_root={data_root}', 'train_dataloader.num_workers=0',
            f'experiment_name={tmp_path.name}']  # fmt: skip
        arguments = [CONFIG, '--work-dir', str(tmp_path / 'run'), '--cfg-options', *settings]
        monkeypatch.setattr(sys, 'argv', [TRAIN, *arguments, *options])
        with pytest.raises(SystemExit) as exited:
            runpy.run_path(TRAIN, run_name='__main__')
        assert exited.value.code == 2
        lines = [line for line in capsys.readouterr().err.splitlines() if 'error' in line.lower()]
        assert len(lines) == 1 and lines[0].startswith('error: ')
        return lines[0]

    return run


def checkpoints(tmp_path) -> list[str]:
    return sorted(name for name in os.listdir(tmp_path / 'run') if '.pth' in name)


def test_wrong_data_root(train, tmp_path):
    message = train(str(tmp_path / 'nowhere'))
    assert 'data_root' in message and f"'{tmp_path / 'nowhere'}' does not exist" in message


def test_empty_folder(train, tmp_path):
    (tmp_path / 'empty').mkdir()
    message = train(str(tmp_path / 'empty'))
    assert f"no image in '{tmp_path / 'empty'}'" in message and 'set data_root' in message


def test_fewer_images_than_a_batch(train, images):
    message = train(images, 'train_dataloader.batch_size=17')
    assert '16 images' in message and '17' in message and 'train_dataloader.batch_size' in message


def test_loss_that_is_not_finite(train, images, tmp_path):
    message = train(images, 'optim_wrapper.optimizer.lr=1e30', 'param_scheduler=None')
    assert 'Training stopped at iteration 2, where loss_' in message and 'not finite' in message
    assert 'optim_wrapper.optimizer.lr' in message
    assert checkpoints(tmp_path) == []  # though the epoch of two iterations had come to its end


@contextmanager
def file_size_limit(size: int):
    """No file of this process may grow larger: needs no root, unlike a small file system."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)


def test_weights_of_another_width(train, images, tmp_path, monkeypatch):
    """Before the data are read: there are none."""
    model = MODELS.build(dict(Config.fromfile(CONFIG).model, _scope_='mmpretrain'))
    state = {
        name: value[..., :-1].clone() if value.ndim else value
        for name, value in model.state_dict().items()
    }
    path = str(tmp_path / 'other.pth')
    meta = dict(epoch=1, iter=2)
    torch.save(dict(meta=meta, state_dict=state, optimizer={}, message_hub={}), path)
    for options in ([f'load_from={path}'], ['--resume', path]):
        message = train(str(tmp_path / 'nowhere'), *options)
        assert f'{path} does not fit the model: ' in message and '100% of the numbers' in message
        assert 'of the wrong shape: ' in message and ' more): ' in message
        message = train(str(tmp_path / 'nowhere'), *options, '--allow-misfit')
        assert f"'{tmp_path / 'nowhere'}' does not exist" in message


def test_full_disk(train, images, tmp_path):
    with file_size_limit(400_000):
        message = train(images)
    assert f'The checkpoint epoch_1.pth cannot be written to {tmp_path / "run"}' in message
    assert 'MB are free' in message and '--resume' in message
    assert checkpoints(tmp_path) == []
