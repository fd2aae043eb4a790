"""The same log as with mmengine's own hook, and the device is not waited for in between."""

import json
import os.path as osp

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmpretrain.registry import HOOKS

CONFIG = osp.join(osp.dirname(__file__), '..', '..', 'configs', 'tiny_mmc.py')
INTERVAL, ITERS, EPOCHS = 2, 5, 2
READERS = ('item', '__float__', 'tolist', 'cpu', '__bool__')


@HOOKS.register_module()
class StepReadsHook(Hook):
    """Notes how many values were read from tensors of floats since the step before."""

    priority = 'LOWEST'
    log: list[int] = []
    now = 0

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        """Note the reads since the step before."""
        StepReadsHook.log.append(StepReadsHook.now)
        StepReadsHook.now = 0


@pytest.fixture
def images(tmp_path) -> str:
    """40 images: five batches of eight."""
    folder = tmp_path / 'images'
    folder.mkdir()
    generator = np.random.default_rng(0)
    for number in range(8 * ITERS):
        image = generator.integers(0, 255, (40, 40, 3), dtype=np.uint8)
        cv2.imwrite(str(folder / f'{number:02}.png'), image)
    return str(folder)


def train(images, work_dir, hook: str, wrapper: dict) -> list[dict]:
    """Scalars in the log of a short training."""
    torch.set_num_threads(1)
    cfg = Config.fromfile(CONFIG)
    cfg.work_dir = str(work_dir)
    cfg.merge_from_dict(
        {
            'train_dataloader.dataset.data_root': images,
            'train_dataloader.num_workers': 0,
            'train_dataloader.persistent_workers': False,
            'train_cfg.max_epochs': EPOCHS,
            'default_hooks.runtime_info.type': hook,
            'default_hooks.logger.interval': INTERVAL,
            'log_processor.window_size': INTERVAL,
            'optim_wrapper': wrapper,
        }
    )
    cfg.custom_hooks = [dict(type='StepReadsHook')]
    StepReadsHook.log = []
    Runner.from_cfg(cfg).train()
    (scalars,) = work_dir.rglob('scalars.json')
    rows = [json.loads(line) for line in scalars.read_text().splitlines()]
    timings = ('time', 'data_time', 'images_per_second', 'memory')
    return [{k: v for k, v in row.items() if k not in timings} for row in rows]


@pytest.mark.parametrize(
    'wrapper',
    [
        dict(precision='bf16'),
        dict(precision='bf16', accumulative_counts=2),
        dict(precision='fp32'),
        dict(type='OptimWrapper'),
    ],
    ids=str,
)
def test_same_log_as_the_host(images, tmp_path, wrapper):
    host = train(images, tmp_path / 'host', 'RuntimeInfoHook', wrapper)
    ours = train(images, tmp_path / 'ours', 'DeferredRuntimeInfoHook', wrapper)
    assert len(host) == EPOCHS * (ITERS // INTERVAL)
    assert {'loss', 'loss_rec', 'loss_patch', 'loss_cls', 'grad_norm', 'lr'} <= set(host[0])
    assert ours == host


def test_reads_nothing_between_two_logs(images, tmp_path, monkeypatch):
    def counting(read):
        def counted(tensor, *args, **kwargs):
            StepReadsHook.now += tensor.dtype.is_floating_point
            return read(tensor, *args, **kwargs)

        return counted

    for name in READERS:
        monkeypatch.setattr(torch.Tensor, name, counting(getattr(torch.Tensor, name)))
    train(images, tmp_path / 'host', 'RuntimeInfoHook', dict(precision='fp32'))
    host = StepReadsHook.log
    train(images, tmp_path / 'ours', 'DeferredRuntimeInfoHook', dict(precision='fp32'))
    ours = StepReadsHook.log
    assert len(ours) == EPOCHS * ITERS
    # The third step of each epoch: the log was written after the second and is after the fourth.
    quiet = [i for i in range(EPOCHS * ITERS) if i % ITERS == 2]
    assert [ours[i] for i in quiet] == [0] * len(quiet)
    assert min(host[i] for i in quiet) >= 5  # four losses and the norm
