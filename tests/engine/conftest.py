"""A training that takes a moment, for what hooks and loops do to its schedule."""

import itertools
import logging
import math

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch.utils.data import DataLoader, TensorDataset

import mmc_plugin  # noqa: F401  registers the hook and the loop

TOP, LOW = 1e-2, 1e-5


class Line(BaseModel):
    """One weight."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(1, 1, bias=False)

    def forward(self, inputs, data_samples=None, mode='tensor'):
        return dict(loss=self.layer(inputs).square().mean())


class Watch(Hook):
    """Writes down the learning rate and the planned length of each iteration, and the log."""

    priority = 'VERY_LOW'

    def __init__(self) -> None:
        self.first, self.rates, self.lengths, self.log = 0, [], [], []

    def before_run(self, runner) -> None:
        handler = logging.Handler()
        handler.emit = lambda record: self.log.append(record.getMessage())
        runner.logger.addHandler(handler)

    def before_train(self, runner) -> None:
        self.first = runner.iter

    def before_train_iter(self, runner, batch_idx, data_batch=None) -> None:
        self.rates.append(runner.optim_wrapper.get_lr()['lr'][0])
        self.lengths.append(runner.max_iters)

    def closed_form(self, length: int, most: int) -> list[float]:
        """Rates of runs of the lengths that were planned, out of ``most`` epochs."""
        return [
            rate(self.first + i, planned // length, length, most)
            for i, planned in enumerate(self.lengths)
        ]


def rate(iteration: int, epochs: int, length: int, most: int) -> float:
    """The closed form of :func:`train_line`'s schedule for a run of so many epochs.

    The warm-up shrinks with a run of fewer than ``most`` and does not grow with a longer one.
    """
    warm_up = max(2, round(2 * length * min(1, epochs / most)))
    if iteration < warm_up:
        return TOP * (0.01 + 0.99 * iteration / (warm_up - 1))
    passed = (iteration - warm_up) / (epochs * length - warm_up)
    return LOW + (TOP - LOW) * (1 + math.cos(math.pi * passed)) / 2


WARM_UP_AND_COSINE = [
    dict(type='LinearLR', start_factor=0.01, end=2, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', eta_min=LOW, begin=2, convert_to_iter_based=True),
]


@pytest.fixture
def train_line(tmp_path):
    """Train ``length`` iterations an epoch; returns the runner.

    By epochs, with a warm-up of two and a cosine from 1e-2 to 1e-5, unless told otherwise.
    """
    numbers = itertools.count()

    def train_line(
        watch, epochs=None, length=12, name='run', train_cfg=None, schedulers=WARM_UP_AND_COSINE,
        hooks=None, optimizer=None, **options,
    ):  # fmt: skip
        torch.manual_seed(0)
        train_cfg = dict(train_cfg or dict(by_epoch=True))
        if epochs is not None:
            train_cfg['max_epochs'] = epochs
        cfg = Config(dict(train_cfg=train_cfg, param_scheduler=schedulers))
        runner = Runner(
            model=Line(),
            work_dir=str(tmp_path / name),
            train_dataloader=DataLoader(TensorDataset(torch.ones(length, 1))),
            train_cfg=cfg.train_cfg,
            param_scheduler=cfg.param_scheduler,
            optim_wrapper=dict(optimizer=dict(type='SGD', lr=TOP) | dict(optimizer or {})),
            default_hooks=dict(param_scheduler=dict(type='ReplanSchedulerHook'), **hooks or {}),
            custom_hooks=[watch],
            default_scope='mmpretrain',
            experiment_name=f'{tmp_path.name}_{next(numbers)}',
            cfg=cfg,
            **options,
        )
        runner.train()
        return runner

    return train_line
