"""Each method of the family trains, resumes, is watched, drawn, exported and evaluated."""

import json
import runpy
import sys
from pathlib import Path

import pytest
import torch
from mmengine.hooks import Hook
from mmpretrain.registry import HOOKS

from mmc_plugin.apis import extract_features, load_backbone
from mmc_plugin.engine.hooks import feature_monitor

ROOT = Path(__file__).resolve().parents[1]
METHODS = ['sit', 'dino', 'ibot', 'mcssl', 'msn', 'maskco', 'mocov3', 'mae']
PROTOTYPES = {'dino', 'ibot', 'mcssl', 'msn'}


@HOOKS.register_module()
class StopAtMark(Hook):
    """Interrupts the run once the checkpoint of an epoch is written."""

    priority = 'LOWEST'
    after = None

    def after_train_epoch(self, runner):
        if runner.epoch + 1 == self.after:
            raise KeyboardInterrupt


def tool(path, *arguments):
    """Run a command-line tool in this process."""
    before = sys.argv
    sys.argv = [path, *map(str, arguments)]
    try:
        runpy.run_path(str(ROOT / 'tools' / path), run_name='__main__')
    finally:
        sys.argv = before


@pytest.fixture(scope='module')
def labelled(photo_folder, tmp_path_factory):
    """Ten photographs in two classes, to train on and for the monitor."""
    folder = tmp_path_factory.mktemp('labelled')
    for name in ('train', 'val'):
        for i, photo in enumerate(sorted(photo_folder.glob('*.jpg'))):
            link = folder / name / 'ab'[i % 2] / photo.name
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(photo)
    return folder


@pytest.mark.parametrize('method', METHODS)
def test_a_run_in_two_parts_is_a_run_in_one(method, labelled, photo_folder, tmp_path, monkeypatch):
    monkeypatch.setenv('CALTECH101_ROOT', str(labelled))
    monkeypatch.setattr(feature_monitor, 'NEIGHBOURS', (1,))
    config = tmp_path / 'config.py'
    config.write_text(
        f'_base_ = [{str(ROOT / "configs" / method / "vitt_caltech101.py")!r}]\n'
        'model = dict(backbone=dict(arch=dict(num_layers=2)))\n'
        'train_dataloader = dict(batch_size=5, num_workers=0, persistent_workers=False)\n'
        "optim_wrapper = dict(precision='fp32')\n"
        'train_cfg = dict(max_epochs=2)\n'
        'param_scheduler = []\n'
        'default_hooks = dict(logger=dict(interval=1), reconstruction=dict(interval=1),\n'
        '                     features=dict(interval=1))\n'
        "custom_hooks = [dict(type='StopAtMark')]\n"
    )
    if method == 'maskco':
        config.write_text(config.read_text() + "model['queue_length'] = 8  # of ten images\n")
    tool('train.py', config, '--work-dir', tmp_path / 'whole')
    with monkeypatch.context() as stopped:
        stopped.setattr(StopAtMark, 'after', 1)
        with pytest.raises(SystemExit):
            tool('train.py', config, '--work-dir', tmp_path / 'parts')
    assert not (tmp_path / 'parts' / 'epoch_2.pth').exists()
    tool('train.py', config, '--work-dir', tmp_path / 'parts', '--resume')
    whole, parts = (
        torch.load(tmp_path / name / 'epoch_2.pth', weights_only=False)['state_dict']
        for name in ('whole', 'parts')
    )
    checkpoint = tmp_path / 'parts' / 'epoch_2.pth'
    # Teacher, centres and queue too.
    assert whole.keys() == parts.keys()
    assert [key for key, value in whole.items() if not torch.equal(value, parts[key])] == []

    lines = (tmp_path / 'parts' / 'feature_monitor.jsonl').read_text().splitlines()
    network = 'student' if method == 'mae' else 'teacher'
    assert len(lines) == 3 and all(f'"knn/{network}_pat_k1"' in line for line in lines)
    (log,) = tmp_path.glob('whole/*/vis_data/scalars.json')
    steps = [json.loads(line) for line in log.read_text().splitlines()]
    steps = [step for step in steps if 'loss' in step]
    assert len(steps) == 4
    if method in PROTOTYPES:
        assert all(step['codes'] >= 1 and step['target_entropy'] > 0 for step in steps)
    drawn = list(tmp_path.glob('whole/vis/reconstruction_epoch_*.png'))
    assert bool(drawn) == (method in {'sit', 'mcssl'})

    exported = tmp_path / 'exported.safetensors'
    tool('model_converters/export.py', checkpoint, exported, '--to', 'safetensors')
    images = [str(path) for path in sorted(photo_folder.glob('*.jpg'))[:2]]
    found = [
        extract_features(load_backbone(str(source)), images, size=48)
        for source in (checkpoint, exported)
    ]
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)
        assert one.std() > 0
