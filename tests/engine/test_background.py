"""Checkpoints written in a thread hold what those that are waited for hold."""

import errno
import threading
import time
from pathlib import Path

import pytest
import torch

from mmc_plugin.engine import background
from mmc_plugin.engine.background import BackgroundWriter, _copied
from mmc_plugin.engine.cli import complete_loader
from mmc_plugin.engine.training import train, training_config
from mmc_plugin.errors import RunError

CONFIG = str(Path(__file__).parents[1] / 'configs' / 'tiny_mmc.py')


def run(photo_folder, work_dir, *options):
    settings = [
        f'train_dataloader.dataset.data_root={photo_folder}', 'train_dataloader.num_workers=0',
        'train_cfg.max_epochs=3', 'optim_wrapper.precision=fp32', *options,
    ]  # fmt: skip
    cfg = training_config(CONFIG, settings, str(work_dir))
    complete_loader(cfg, 'train_dataloader')
    train(cfg)


def same(one, other):
    """Whether nested dictionaries hold equal tensors and numbers."""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[k], other[k]) for k in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return torch.equal(one, other) if isinstance(one, torch.Tensor) else one == other


def test_files_are_the_same(photo_folder, tmp_path, monkeypatch):
    """Each is written late, when the training has long changed the weights."""
    save, threads = torch.save, []

    def late(content, path):
        threads.append(threading.current_thread().name)
        time.sleep(0.3)
        save(content, path)

    run(photo_folder, tmp_path / 'a')
    monkeypatch.setattr(background.torch, 'save', late)
    run(photo_folder, tmp_path / 'b', 'default_hooks.checkpoint.background=True')
    assert threads[0] == 'checkpoint'
    names = sorted(path.name for path in (tmp_path / 'a').glob('*.pth'))
    assert names == sorted(path.name for path in (tmp_path / 'b').glob('*.pth')) and len(names) == 2
    for name in names:
        one, other = (torch.load(tmp_path / x / name, weights_only=False) for x in 'ab')
        for key in ('state_dict', 'optimizer', 'param_schedulers'):
            assert same(one[key], other[key]), key
        assert one['state_dict']._metadata == other['state_dict']._metadata
        assert one['meta']['iter'] == other['meta']['iter']


def test_a_full_disk_ends_the_run(photo_folder, tmp_path, monkeypatch):
    def full(content, path):
        raise OSError(errno.ENOSPC, 'No space left on device')

    monkeypatch.setattr(background.torch, 'save', full)
    with pytest.raises(RunError, match='cannot be written to .*No space left on device'):
        run(photo_folder, tmp_path, 'default_hooks.checkpoint.background=True')
    assert not [*tmp_path.glob('*.pth*')]


def test_a_copy_is_no_view():
    value = dict(a=torch.zeros(3), b=[torch.ones(1), dict(c=(1, 2))])
    copied = _copied(value)
    value['a'] += 1
    value['b'][0] += 1
    assert copied['a'].sum() == 0 and copied['b'][0] == 1 and copied['b'][1] == dict(c=(1, 2))


def test_an_error_is_told_once():
    writer = BackgroundWriter()
    writer.finish()  # nothing was begun
    writer.start(dict(a=1), '/nowhere/a.pth', then=lambda: None)
    with pytest.raises(RuntimeError, match='nowhere'):
        writer.finish()
    writer.finish()
