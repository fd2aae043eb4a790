"""The ImageNet configs train on a stand-in folder: two iterations, as they are but for their size.

Only the batch, the workers, the depth, the width of the heads and the length of the schedule are
reduced.
"""

import json
import math
import os
import runpy
from pathlib import Path

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmpretrain.models import VisionTransformer

ROOT = Path(__file__).resolve().parents[1]
WNIDS = ('n01558993', 'n02869837')  # of ImageNet-1K and ImageNet-100
PATCHES = 196  # of 224² views
DEPTH = 4
WEIGHT = f'backbone.layers.{DEPTH - 1}.ffn.layers.0.0.weight'
# config, environment variable of its data, images a batch, losses that are on
CASES = [
    ('vitb_400e.py', 'IMAGENET_ROOT', 2, {'rec', 'patch', 'cls'}),
    ('vits_in100_500e.py', 'IMAGENET100_ROOT', 4, {'rec', 'patch', 'cls'}),
    ('vits_in100_500e_multicrop.py', 'IMAGENET100_ROOT', 2, {'rec', 'patch', 'cls'}),
    ('vits_in100_200e_101.py', 'IMAGENET100_ROOT', 2, {'rec', 'patch'}),
]


class Watch(Hook):
    """Notes what a weight of student and teacher is before the training and after each step."""

    priority = 'VERY_LOW'  # after the hook that moves the teacher

    def __init__(self):
        self.student, self.teacher, self.momentum = [], [], []

    def _note(self, runner):
        self.student.append(runner.model.get_parameter(WEIGHT).detach().clone())
        self.teacher.append(runner.model.get_parameter(f'teacher.{WEIGHT}').detach().clone())

    def before_train(self, runner):
        self._note(runner)

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self._note(runner)
        self.momentum.append(runner.message_hub.get_scalar('train/teacher_momentum').current())


def build_runner(monkeypatch, config: str, work_dir: Path, *options: str) -> Runner:
    """The runner that ``tools/train.py`` makes of a command line."""
    tool = runpy.run_path(str(ROOT / 'tools' / 'train.py'))
    command = ['train.py', str(ROOT / 'configs' / 'mmc' / config), '--work-dir', str(work_dir)]
    monkeypatch.setattr('sys.argv', [*command, '--cfg-options', *options])
    cfg = tool['build_config'](tool['parse_args']())
    cfg.model.backbone.arch = dict(
        VisionTransformer.arch_zoo[cfg.model.backbone.arch], num_layers=DEPTH
    )
    return Runner.from_cfg(cfg)


@pytest.mark.parametrize('config, variable, batch, losses', CASES, ids=[c[0] for c in CASES])
def test_two_iterations(config, variable, batch, losses, photo_folder, tmp_path, monkeypatch):
    photos = sorted(photo_folder.glob('*.jpg'))[:batch]
    for i, photo in enumerate(photos):
        folder = tmp_path / 'data' / 'train' / WNIDS[i % 2]
        folder.mkdir(parents=True, exist_ok=True)
        os.link(photo, folder / f'{WNIDS[i % 2]}_{i}.JPEG')
    monkeypatch.setenv(variable, str(tmp_path / 'data'))
    runner = build_runner(
        monkeypatch, config, tmp_path / 'run',
        f'train_dataloader.batch_size={batch}', 'train_dataloader.num_workers=0',
        *(f'model.{head}_head.hidden_channels=64' for head in ('rec', 'patch', 'cls')),
        # Two epochs of one batch, the first of them all there is of the warm-up.
        'train_cfg.max_epochs=2', 'param_scheduler.0.end=1', 'param_scheduler.1.begin=1',
        'param_scheduler.0.start_factor=1.0',
        'default_hooks.checkpoint.interval=2', 'default_hooks.checkpoint.save_optimizer=False',
        'default_hooks.logger.interval=1', 'log_processor.window_size=1',
    )  # fmt: skip
    watch = Watch()
    runner.register_hook(watch)
    runner.train()

    (file,) = (tmp_path / 'run').glob('*/vis_data/scalars.json')
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    assert [row['iter'] for row in rows] == [1, 2]
    for row in rows:
        assert {key for key in row if key.startswith('loss_')} == {f'loss_{key}' for key in losses}
        assert math.isfinite(row['grad_norm'])
        assert row['lr'] == pytest.approx(5e-4 * batch / 256)
        assert row['loss'] == pytest.approx(sum(row[f'loss_{key}'] for key in losses), rel=1e-5)
        # An untrained network: pixels are predicted as their mean or so, and a query finds its key
        # little better than by chance, among those of the other images and its own. Batch norm over
        # so few class tokens scatters them widely.
        for key, (low, chance, high) in dict(
            rec=(0.5, 1.0, 1.5),
            patch=(0.6, math.log(1 + PATCHES * (batch - 1)), 1.1),
            cls=(0.3, math.log(batch), 3.0),
        ).items():
            if key in losses:
                assert low < row[f'loss_{key}'] / chance < high, key

    # The teacher starts as the student and follows it.
    assert torch.equal(watch.teacher[0], watch.student[0])
    for step, momentum in enumerate(watch.momentum, 1):
        assert not torch.equal(watch.student[step], watch.student[step - 1])
        expected = momentum * watch.teacher[step - 1] + (1 - momentum) * watch.student[step]
        torch.testing.assert_close(watch.teacher[step], expected, rtol=1e-6, atol=1e-7)
    assert not torch.equal(watch.teacher[2], watch.teacher[0])

    checkpoint = tmp_path / 'run' / 'epoch_2.pth'
    state = torch.load(checkpoint, weights_only=False)['state_dict']
    runner.model.load_state_dict(state, strict=True)
    assert torch.equal(state[f'teacher.{WEIGHT}'], watch.teacher[2])
    checkpoint.unlink()  # hundreds of megabytes, which pytest would keep
