"""A pretraining in one call is what the command line does."""

import runpy
import sys

import pytest
import torch
from mmengine.config import Config

from mmc_plugin.apis import PromptSegmenter, load_backbone, pretrain
from mmc_plugin.engine.cli import ROOT
from mmc_plugin.errors import InputError

TINY = dict(embed_dims=16, num_layers=1, num_heads=2, feedforward_channels=16, _delete_=True)
OPTIONS = {
    'model.backbone.arch': TINY,
    **{f'model.{name}_head.in_channels': 16 for name in ('rec', 'patch', 'cls')},
    **{f'model.{name}_head.hidden_channels': 8 for name in ('rec', 'patch', 'cls')},
    'train_dataloader.num_workers': 0,
    'default_hooks.checkpoint.interval': 1,
    'default_hooks.checkpoint.max_keep_ckpts': -1,
    'optim_wrapper.precision': 'fp32',
}


def weights(path) -> dict:
    return torch.load(path, weights_only=False)['state_dict']


@pytest.fixture(scope='module')
def trained(photo_folder, tmp_path_factory):
    out = tmp_path_factory.mktemp('api') / 'my run'
    return pretrain(photo_folder, out, 'vitt8', epochs=3, options=OPTIONS)


def test_it_returns_the_newest_checkpoint(trained, photo_folder):
    assert trained.endswith('my run/epoch_3.pth')
    assert load_backbone(trained).source.format == 'MMC run (teacher)'
    photo = next(photo_folder.glob('*.jpg'))
    assert PromptSegmenter(trained, size=64).segment(photo, (5, 5)).mask.any()


def test_older_ones_are_weights_only(trained):
    first, last = (
        torch.load(trained.replace('epoch_3', f'epoch_{i}'), weights_only=False) for i in (1, 3)
    )
    assert set(first) == {'meta', 'state_dict'} and 'optimizer' in last


def test_the_command_line_trains_the_same_weights(trained, photo_folder, tmp_path, monkeypatch):
    options = {key: value for key, value in OPTIONS.items() if key != 'model.backbone.arch'}
    arch = {f'model.backbone.arch.{key}': value for key, value in TINY.items() if key[0] != '_'}
    options |= arch | {
        'train_cfg.max_epochs': 3, 'train_dataloader.dataset.data_root': photo_folder,
    }  # fmt: skip
    monkeypatch.setattr(sys, 'argv', [
        'train.py', 'mmc/vitt_folder.py', '--work-dir', str(tmp_path / 'command'),
        '--cfg-options', *(f'{key}={value}' for key, value in options.items()),
    ])  # fmt: skip
    runpy.run_path(str(ROOT / 'tools' / 'train.py'), run_name='__main__')
    expected = weights(tmp_path / 'command' / 'epoch_3.pth')
    found = weights(trained)
    assert set(found) == set(expected)
    assert all(torch.equal(found[name], expected[name]) for name in found)


def test_finished_it_returns_at_once_and_more_epochs_go_on(trained, photo_folder, capsys):
    out = trained.rpartition('/')[0]
    assert pretrain(photo_folder, out, 'vitt8', epochs=3, options=OPTIONS) == trained
    assert 'Epoch(train)' not in capsys.readouterr().out
    longer = pretrain(photo_folder, out, 'vitt8', epochs=4)  # the settings are in the folder
    assert longer == trained.replace('epoch_3', 'epoch_4')
    assert 'train_cfg.max_epochs 3 → 4' in capsys.readouterr().out
    assert torch.load(longer, weights_only=False)['meta']['iter'] == 4


def test_it_starts_from_another_checkpoint(trained, photo_folder, tmp_path, capsys):
    """Without a step that could be seen: the learning rate is next to nothing."""
    options = {key: value for key, value in OPTIONS.items() if 'arch' not in key}
    options |= {'optim_wrapper.optimizer.lr': 1e-30, 'param_scheduler.1.eta_min': 0.0}
    first = trained.replace('epoch_3', 'epoch_1')
    found = pretrain(photo_folder, tmp_path / 'b', 'vitt8', 1, init_from=first, options=options)
    assert f'with the backbone of MMC run (teacher) in {first}' in capsys.readouterr().out
    for which in ('teacher', 'student'):
        theirs = load_backbone(first).state_dict()
        ours = load_backbone(found, which).state_dict()
        assert all(torch.allclose(ours[name], theirs[name], atol=1e-6) for name in theirs)


def test_what_it_began_from_is_kept_by_a_run_that_goes_on(trained, photo_folder, tmp_path):
    """For the day when all its checkpoints are gone and it begins once more."""
    options = {key: value for key, value in OPTIONS.items() if 'arch' not in key}
    first, out = trained.replace('epoch_3', 'epoch_1'), tmp_path / 'b'
    pretrain(photo_folder, out, 'vitt8', 1, init_from=first, options=options)
    pretrain(photo_folder, out, 'vitt8', 2)
    assert Config.fromfile(out / 'vitt_folder.py').model.backbone.checkpoint == first


def test_so_does_the_command_line(trained, photo_folder, monkeypatch):
    monkeypatch.setattr(sys, 'argv', [
        'train.py', 'mmc/vitt_folder.py', '--init-from', trained, '--cfg-options',
        f'train_dataloader.dataset.data_root={photo_folder}',
    ])  # fmt: skip
    tool = runpy.run_path(str(ROOT / 'tools' / 'train.py'))
    backbone = tool['build_config'](tool['parse_args']()).model.backbone
    assert backbone.checkpoint == trained and backbone.arch.embed_dims == 16


def test_a_config_file_may_go_by_iterations(photo_folder, tmp_path):
    path = tmp_path / 'mine.py'
    path.write_text(
        f'_base_ = [{str(ROOT / "configs" / "mmc" / "vitt_folder.py")!r}]\n'
        'fit_to_data = False\n'
        'train_cfg = dict(_delete_=True, by_epoch=False, max_iters=2, val_interval=2)\n'
        'param_scheduler = None\n'
        'default_hooks = dict(checkpoint=dict(by_epoch=False))\n'
    )
    options = OPTIONS | {'train_dataloader.batch_size': 2}
    found = pretrain(photo_folder, tmp_path / 'out', path, options=options)
    assert found.endswith('iter_2.pth')
    assert pretrain(photo_folder, tmp_path / 'out', path) == found


def test_what_it_refuses(tmp_path):
    (tmp_path / 'file').touch()
    with pytest.raises(InputError, match='file, which is a file: it must be a folder'):
        pretrain(tmp_path, tmp_path / 'file', 'vitt8')
    with pytest.raises(InputError, match="model must be 'vitt8', 'vits16', 'vitb16' or a config"):
        pretrain(tmp_path, tmp_path / 'out', 'vits8')
    with pytest.raises(InputError, match='zero_shot/vit_coco.py describes no training'):
        pretrain(tmp_path, tmp_path / 'out', 'zero_shot/vit_coco.py')
    with pytest.raises(FileNotFoundError, match='nowhere'):
        pretrain(tmp_path / 'nowhere', tmp_path / 'out', 'vitt8', options=OPTIONS)
    with pytest.raises(InputError, match='nothing reads this key'):
        pretrain(tmp_path, tmp_path / 'out', 'vitt8', options={'epochs': 3})
