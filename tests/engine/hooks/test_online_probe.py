"""The probe learns what is linear in the features, and the training does not notice it."""

import copy
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmengine.structures import BaseDataElement

from mmc_plugin.engine.cli import complete_loader
from mmc_plugin.engine.hooks.online_probe import OnlineProbeHook
from mmc_plugin.engine.training import train, training_config
from mmc_plugin.errors import InputError
from mmc_plugin.models.heads.linear_probe import KINDS, LinearProbe
from mmc_plugin.visualization.run_log import read_scalars

CONFIG = str(Path(__file__).parents[2] / 'configs' / 'tiny_mmc.py')


@pytest.fixture(scope='module')
def folder(tmp_path_factory) -> Path:
    """Two classes that differ in colour, and two training images in a folder of no class."""
    root, rng = tmp_path_factory.mktemp('classes'), np.random.default_rng(0)
    for part, each in dict(train=8, val=6).items():
        for number, name in enumerate(('red', 'blue', *(['other'] if part == 'train' else []))):
            (root / part / name).mkdir(parents=True)
            for i in range(each if name != 'other' else 2):
                image = rng.integers(0, 100, (40, 48, 3)) + 150 * np.eye(3)[2 - 2 * (number % 2)]
                cv2.imwrite(str(root / part / name / f'{i}.png'), image)
    return root


def run(folder, work_dir, *options, hook=True, resume=None):
    settings = [
        f'train_dataloader.dataset.data_root={folder / "train"}', 'train_dataloader.batch_size=6',
        'train_dataloader.num_workers=0', 'optim_wrapper.precision=fp32', *options,
    ]  # fmt: skip
    if hook:
        settings += [
            'default_hooks.probe.type=OnlineProbeHook', 'default_hooks.probe.interval=1',
            f'default_hooks.probe.val_dir={folder / "val"}', 'default_hooks.probe.resize=32',
            'default_hooks.probe.crop=32', 'default_hooks.probe.num_workers=0',
            'default_hooks.probe.lr=4.0',
        ]  # fmt: skip
    cfg = training_config(CONFIG, settings, str(work_dir), resume=resume)
    complete_loader(cfg, 'train_dataloader')
    runner = train(cfg)
    (probe,) = [each for each in runner.hooks if isinstance(each, OnlineProbeHook)] or [None]
    return probe, read_scalars(str(work_dir))


def losses(records):
    names = ('loss', 'loss_rec', 'loss_patch', 'loss_cls', 'grad_norm')
    return [[each[name] for name in names] for each in records if 'loss' in each]


@pytest.fixture(scope='module')
def probed(folder, tmp_path_factory):
    """The hook at the end of a run of four epochs, its scalars and its folder."""
    work_dir = tmp_path_factory.mktemp('probed')
    return *run(folder, work_dir), work_dir


def test_losses_are_the_same_with_and_without(folder, probed, tmp_path):
    _, records = run(folder, tmp_path, hook=False)
    assert losses(records) == losses(probed[1]) and len(losses(records)) == 12


def test_it_tells_the_classes_apart(probed):
    scores = [each for each in probed[1] if 'probe/teacher_cls' in each]
    assert [each['epoch'] for each in scores] == [1, 2, 3, 4]
    assert scores[-1]['probe/teacher_pat'] == 100.0  # two colours
    assert probed[0].classes == ['blue', 'red']


def test_a_resumed_run_goes_on_with_the_probe(folder, probed, tmp_path):
    run(
        folder,
        tmp_path,
        'train_cfg.max_epochs=4',
        'default_hooks.checkpoint.max_keep_ckpts=-1',
        'default_hooks.checkpoint.keep_whole=-1',
    )
    for path in tmp_path.glob('epoch_[34].pth'):
        path.unlink()
    again, _ = run(folder, tmp_path, resume='auto')
    for name, value in probed[0].probe.state_dict().items():
        assert torch.equal(again.probe.state_dict()[name], value), name


def test_a_step_is_that_of_plain_torch():
    """Images of no class left out, a view after the other, BN, cross-entropy and SGD."""
    hook = OnlineProbeHook('unused', lr=0.3)
    torch.manual_seed(0)
    tokens = torch.randn(2 * 3, 1 + 4, 5)
    hook._caught, hook._extra, hook._root = tokens.clone(), 1, '/data/'
    hook._number = dict(a=0, b=1)
    hook.probe = LinearProbe(5, 2)
    with torch.no_grad():
        for parameter in hook.probe.parameters():
            parameter.normal_()
    hook.optimizer = torch.optim.SGD(hook.probe.parameters(), lr=0.3, momentum=0.9)
    weights = {k: copy.deepcopy(v).double() for k, v in hook.probe.layers.items()}
    samples = [BaseDataElement(metainfo=dict(img_path=f'/data/{name}/x.jpg')) for name in 'bza']
    hook.after_train_iter(None, 0, dict(data_samples=samples))
    for kind in KINDS:
        kept = tokens.double()[[0, 2, 3, 5]]
        rows = kept[:, 0] if kind == 'cls' else kept[:, 1:].mean(1)
        rows = (rows - rows.mean(0)) / (rows.var(0, unbiased=False) + 1e-6).sqrt()
        loss = F.cross_entropy(weights[kind](rows), torch.tensor([1, 0, 1, 0]))
        loss.backward()
        for name, parameter in weights[kind].named_parameters():
            expected = parameter - 0.3 * parameter.grad
            found = hook.probe.layers[kind].get_parameter(name).double()
            assert torch.allclose(found, expected, atol=1e-5)


def test_what_it_refuses(folder, tmp_path):
    with pytest.raises(InputError, match='interval from 1 and lr above 0, got 0 and 0.1'):
        OnlineProbeHook('x', interval=0)
    (tmp_path / 'val' / 'green').mkdir(parents=True)
    cv2.imwrite(str(tmp_path / 'val' / 'green' / '0.png'), np.zeros((9, 9, 3), np.uint8))
    with pytest.raises(InputError, match='none of 18 training images in .* class of .* \\(green'):
        run(folder, tmp_path / 'a', f'default_hooks.probe.val_dir={tmp_path / "val"}',
            'default_hooks.probe.type=OnlineProbeHook', hook=False)  # fmt: skip
    with pytest.raises(InputError, match='the teacher does not run in this training'):
        run(folder, tmp_path / 'b', 'model.loss_weights.patch=0', 'model.loss_weights.cls=0')
    with pytest.raises(FileNotFoundError, match='no folder .*nowhere'):
        run(folder, tmp_path / 'c', f'default_hooks.probe.val_dir={tmp_path / "nowhere"}',
            'default_hooks.probe.type=OnlineProbeHook', hook=False)  # fmt: skip
