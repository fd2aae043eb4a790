"""A synthetic CamVid, tiny models, and the tools run in this process."""

import io
import os
import runpy
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope

from mmc_plugin.models.backbones import PretrainedViT

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = ROOT / 'configs' / 'segmentation'
HEIGHT, WIDTH = 32, 48
ARCH = dict(embed_dims=32, num_layers=2, num_heads=2, feedforward_channels=64)

# The real config of the small machine, made tiny.
TINY = """
_base_ = [r'{config}']
# mmengine keeps a run's logger by name and second; runs in one process need names of their own.
experiment_name = '{{{{$MMC_TEST_NAME:run}}}}'
model = dict(
    data_preprocessor=dict(size_divisor=8, test_cfg=dict(size_divisor=8)),
    backbone=dict(
        arch=dict(_delete_=True, **{arch}), img_size=({height}, {width}), patch_size=8,
        out_indices=(0, 1), checkpoint=r'{checkpoint}'),
    decode_head=dict(in_channels=[32] * 2))
train_dataloader = dict(
    batch_size=2, num_workers=0, dataset=dict(dataset=dict(data_root=r'{data}')))
val_dataloader = dict(num_workers=0, dataset=dict(dataset=dict(data_root=r'{data}')))
test_dataloader = val_dataloader
optim_wrapper = dict(optimizer=dict(lr=0.02))
param_scheduler = [dict(type='PolyLR', power=1.0, by_epoch=False)]
train_cfg = dict(max_iters=20, val_interval=20)
default_hooks = dict(checkpoint=dict(interval=20), logger=dict(interval=1))
visualizer = dict(vis_backends=[dict(type='LocalVisBackend')])
"""


def draw_scene(rng, classes=11):
    """An image whose colours tell the classes, and its labels with some pixels left out."""
    coarse = rng.integers(0, classes, (HEIGHT // 16, WIDTH // 16))
    labels = coarse.repeat(16, 0).repeat(16, 1).astype(np.uint8)
    colours = np.random.default_rng(0).integers(40, 216, (classes, 3))
    image = colours[labels] + rng.integers(-10, 10, (HEIGHT, WIDTH, 3))
    labels[rng.random(labels.shape) < 0.05] = 255
    return image.astype(np.uint8), labels


def write_pair(root, split, name, image, labels):
    for folder, suffix, array in (('img_dir', 'jpg', image), ('ann_dir', 'png', labels)):
        path = root / folder / split / f'{name}.{suffix}'
        path.parent.mkdir(parents=True, exist_ok=True)
        assert cv2.imwrite(str(path), array)


def write_street(root, train=6, val=3):
    """Images in CamVid's layout."""
    rng = np.random.default_rng(1)
    for split, count in (('train', train), ('val', val)):
        for i in range(count):
            write_pair(root, split, f'{split}{i}', *draw_scene(rng))
    return root


@pytest.fixture(scope='session')
def street(tmp_path_factory) -> Path:
    """Six training and three validation images. Do not write to it."""
    return write_street(tmp_path_factory.mktemp('street'))


@pytest.fixture(scope='session')
def weights(tmp_path_factory) -> Path:
    """A backbone for images of 32×32, that is with 4×4 positions."""
    path = tmp_path_factory.mktemp('weights') / 'backbone.pth'
    torch.manual_seed(3)
    model = PretrainedViT(arch=ARCH, img_size=32, patch_size=8)
    model.init_weights()
    for value in model.parameters():
        value.add_(0.1 * torch.randn_like(value))
    torch.save(dict(state_dict=model.state_dict()), path)
    return path


@pytest.fixture(scope='session')
def make_tiny(weights):
    """Write a config file of the tiny model."""

    def make_tiny(path, data, config='vitt_camvid_linear.py', checkpoint=weights) -> Path:
        path.write_text(
            TINY.format(
                config=CONFIGS / config,
                arch=ARCH,
                height=HEIGHT,
                width=WIDTH,
                data=data,
                checkpoint=checkpoint,
            )
        )
        return path

    return make_tiny


@pytest.fixture(scope='session')
def tiny(make_tiny, street, tmp_path_factory) -> Path:
    """Config file of the tiny model on the synthetic images."""
    return make_tiny(tmp_path_factory.mktemp('tiny') / 'tiny.py', street)


@pytest.fixture(scope='session')
def make_street():
    return write_street


@contextmanager
def plain_texts() -> Iterator[pytest.MonkeyPatch]:
    """Within it a config's text is without yapf, which takes most of the time of a small run."""

    def text(config):
        return '\n'.join(f'{key} = {value!r}' for key, value in config.to_dict().items())

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Config, 'pretty_text', property(text))
        yield patch


@pytest.fixture(scope='module', autouse=True)
def plain_configs():
    """In these tests, and in no others of this process."""
    with plain_texts():
        yield


@pytest.fixture(autouse=True)
def scope():
    """Names are looked for in mmsegmentation, whatever ran before in this process."""
    with DefaultScope.overwrite_default_scope('mmseg'):
        yield


@pytest.fixture
def call(monkeypatch, tmp_path):
    """Run a tool as a program but in this process, which has the libraries loaded."""

    def call(tool: str, *arguments, **environment) -> subprocess.CompletedProcess:
        command = [str(ROOT / 'tools' / tool), *map(str, arguments)]
        out, err = io.StringIO(), io.StringIO()
        with monkeypatch.context() as patch:
            patch.chdir(tmp_path)
            patch.setattr(sys, 'argv', command)
            patch.setenv('LOCAL_RANK', '0')
            patch.delenv('RANK', raising=False)
            patch.setenv('MMC_TEST_NAME', f'{tmp_path.name}_{os.urandom(4).hex()}')
            for key, value in environment.items():
                patch.setenv(key, str(value))
            try:
                with redirect_stdout(out), redirect_stderr(err):
                    runpy.run_path(command[0], run_name='__main__')
                code = 0
            except SystemExit as stop:
                code = stop.code
        return subprocess.CompletedProcess(command, code, out.getvalue(), err.getvalue())

    return call


@pytest.fixture(scope='session')
def trained(tiny, tmp_path_factory) -> Path:
    """Work dir of a training of the tiny model by tools/train.py."""
    work_dir = tmp_path_factory.mktemp('trained') / 'work dir'
    with plain_texts() as patch:
        patch.setattr(sys, 'argv', ['train.py', str(tiny), '--work-dir', str(work_dir)])
        patch.setenv('LOCAL_RANK', '0')
        patch.setenv('MMC_TEST_NAME', 'trained')
        torch.manual_seed(0)
        with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            runpy.run_path(str(ROOT / 'tools' / 'train.py'), run_name='__main__')
    return work_dir


@pytest.fixture
def refused(call):
    """Run a tool that must end in one sentence; return the sentence."""

    def refused(*arguments, **environment) -> str:
        done = call(*arguments, **environment)
        assert done.returncode == 2, done.stdout + done.stderr
        (line,) = [line for line in done.stderr.splitlines() if line.startswith('error: ')]
        return line

    return refused
