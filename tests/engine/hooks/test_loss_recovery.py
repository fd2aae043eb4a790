"""A bad step leaves no trace, and a run that goes back goes on as one with another seed."""

import json
from pathlib import Path

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.runner import Runner
from mmpretrain.registry import HOOKS
from torch.utils.data import DataLoader

from mmc_plugin.engine.cli import complete_loader
from mmc_plugin.engine.hooks import LossRecoveryHook, loss_recovery
from mmc_plugin.engine.training import train, training_config
from mmc_plugin.errors import InputError, RollBackError, RunError
from mmc_plugin.visualization.run_log import read_scalars

CONFIG = str(Path(__file__).parents[2] / 'configs' / 'tiny_mmc.py')
NAN = float('nan')


class Square(BaseModel):
    """(w - x)², whose gradient and next weight are easily followed."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def forward(self, inputs, mode='loss'):
        return dict(loss=(self.weight - inputs).square().mean())


def followed(data, bad, lr=0.1, momentum=0.9):
    """Oracle in float64: SGD with momentum over the good steps alone."""
    weight, speed = 0.0, 0.0
    for number, x in enumerate(data):
        if number not in bad:
            speed = momentum * speed + 2 * (weight - x)
            weight -= lr * speed
    return weight


def run(data, tmp_path, name, count=1, wrapper='AutoPrecisionOptimWrapper', **settings):
    loader = DataLoader([torch.tensor([x]) for x in data], batch_size=1,
                        collate_fn=lambda batch: dict(inputs=torch.stack(batch)))  # fmt: skip
    runner = Runner(
        Square(), str(tmp_path / name), train_dataloader=loader,
        train_cfg=dict(by_epoch=True, max_epochs=1),
        optim_wrapper=dict(type=wrapper, optimizer=dict(type='SGD', lr=0.1, momentum=0.9),
                           accumulative_counts=count),
        custom_hooks=[LossRecoveryHook(**settings)], default_scope='mmpretrain',
        experiment_name=f'{tmp_path.name}_{name}',
    )  # fmt: skip
    runner.train()
    notes = tmp_path / name / 'recovery.jsonl'
    rows = [json.loads(line) for line in notes.read_text().splitlines()] if notes.exists() else []
    return float(runner.model.weight.detach()), rows


@pytest.mark.parametrize('wrapper', ['BFloat16OptimWrapper', 'AutoPrecisionOptimWrapper'])
def test_bad_steps_leave_no_trace(tmp_path, wrapper):
    data = [1.0, 2.0, NAN, 1.5, float('inf'), NAN, 0.5]
    weight, rows = run(data, tmp_path, 'a', wrapper=wrapper)
    assert weight == pytest.approx(followed(data, {2, 4, 5}), rel=1e-5)
    assert [row['iter'] for row in rows] == [3, 5, 6]
    assert {row['reason'] for row in rows} == {'the loss is not finite'}


def test_a_spike_is_above_a_multiple_of_the_median(tmp_path):
    data = [1.0] * 12 + [40.0] + [1.0] * 3
    weight, rows = run(data, tmp_path, 'a', spike=5.0)
    assert weight == pytest.approx(followed(data, {12}), rel=1e-5)
    assert [row['iter'] for row in rows] == [13] and 'is usual' in rows[0]['reason']
    weight, rows = run(data, tmp_path, 'b')
    assert weight == pytest.approx(followed(data, set()), rel=1e-5) and not rows
    early = [1.0] * 3 + [40.0] + [1.0] * 3  # too few to tell
    assert not run(early, tmp_path, 'c', spike=5.0)[1]


def test_accumulated_steps_are_judged_together(tmp_path):
    weight, rows = run([1.0, NAN, 2.0, 3.0], tmp_path, 'a', count=2)
    assert [row['iter'] for row in rows] == [2]
    assert weight == pytest.approx(followed([2.5], set()), rel=1e-5)


def test_many_in_a_row_ask_to_go_back(tmp_path, monkeypatch):
    monkeypatch.setattr(loss_recovery, 'PATIENCE', 3)
    with pytest.raises(RollBackError, match='3 steps in a row, up to iteration 4,') as error:
        run([1.0, NAN, NAN, NAN, NAN], tmp_path, 'a')
    assert error.value.most == 3


@HOOKS.register_module()
class PoisonHook(Hook):
    """Losses are not finite from some iteration on, as long as the seed is one of some."""

    def __init__(self, seeds, begin):
        self.seeds, self.begin = seeds, begin

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        poisoned = runner.seed in self.seeds and runner.iter >= self.begin
        runner.model.loss_weights['cls'] = NAN if poisoned else 1.0


def pretrain(photo_folder, work_dir, *options, resume=None, poison=None):
    settings = [
        f'train_dataloader.dataset.data_root={photo_folder}', 'train_dataloader.batch_size=3',
        'train_dataloader.num_workers=0', 'optim_wrapper.precision=fp32', *options,
    ]  # fmt: skip
    cfg = training_config(CONFIG, settings, str(work_dir), resume=resume)
    if poison is not None:
        cfg.custom_hooks = [dict(type='PoisonHook', **poison)]
        cfg.default_hooks.loss_guard = dict(type='LossRecoveryHook')
    complete_loader(cfg, 'train_dataloader')
    return train(cfg)


@pytest.fixture
def soon(monkeypatch):
    """Runs of a dozen steps go back."""
    monkeypatch.setattr(loss_recovery, 'PATIENCE', 2)
    monkeypatch.setattr(loss_recovery, 'ROLLBACKS', 2)


def losses(work_dir):
    return {each['step']: each['loss'] for each in read_scalars(str(work_dir)) if 'loss' in each}


def test_a_run_goes_back_and_on_with_another_seed(photo_folder, tmp_path, capsys, soon):
    """Oracle: a run of the second seed that is given the checkpoint of the first."""
    runner = pretrain(photo_folder, tmp_path / 'a', poison=dict(seeds=[0], begin=6))
    assert runner.seed == 1 and runner.iter == 12
    assert (
        f'up to iteration 8, could not be taken: going back to {tmp_path / "a" / "epoch_2.pth"}, '
        'and on with the seed 1.'
    ) in ' '.join(capsys.readouterr().out.split())
    rows = [json.loads(x) for x in (tmp_path / 'a' / 'recovery.jsonl').read_text().splitlines()]
    events = [(row['iter'], row['event']) for row in rows]
    assert events == [(7, 'skipped'), (8, 'skipped'), (8, 'rolled back')]
    assert 'seed=1' in (tmp_path / 'a' / 'tiny_mmc.py').read_text()

    pretrain(photo_folder, tmp_path / 'b', 'default_hooks.checkpoint.keep_whole=-1',
             'default_hooks.checkpoint.max_keep_ckpts=-1')  # fmt: skip
    for path in (tmp_path / 'b').glob('epoch_[34].pth'):
        path.unlink()
    checkpoint = torch.load(tmp_path / 'b' / 'epoch_2.pth', weights_only=False)
    checkpoint['meta']['seed'] = 1
    torch.save(checkpoint, tmp_path / 'b' / 'epoch_2.pth')
    pretrain(photo_folder, tmp_path / 'b', 'randomness.seed=1', resume='auto')
    assert losses(tmp_path / 'a') == losses(tmp_path / 'b') and len(losses(tmp_path / 'a')) == 12


def test_it_ends_where_going_back_does_not_help(photo_folder, tmp_path, soon):
    with pytest.raises(RunError, match='after 2 times that training went back: go on with'):
        pretrain(photo_folder, tmp_path / 'a', poison=dict(seeds=[0, 1, 2], begin=2))


def test_what_it_refuses():
    with pytest.raises(InputError, match='spike above 1 or None, got 0.5'):
        LossRecoveryHook(spike=0.5)


def test_it_needs_the_loss_of_a_step(tmp_path):
    with pytest.raises(InputError, match='set optim_wrapper.type to it, not to OptimWrapper'):
        run([1.0], tmp_path, 'a', wrapper='OptimWrapper')
