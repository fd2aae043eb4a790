"""The configs of configs/video, run as users run them, in one process and in two."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmpretrain.registry import DATASETS, METRICS, MODELS
from PIL import Image

import mmc_plugin  # noqa: F401  registers
from mmc_plugin.engine import cli
from mmc_plugin.errors import InputError
from mmc_plugin.models.features import FrozenFeatures

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / 'configs' / 'video' / 'davis2017.py'
ARCH = dict(embed_dims=64, num_layers=2, num_heads=1, feedforward_channels=64)


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory):
    vit = dict(type='PretrainedViT', arch=ARCH, img_size=32, patch_size=8, out_type='raw')
    path = tmp_path_factory.mktemp('weights') / 'vit.pth'
    torch.save(FrozenFeatures(vit).state_dict(), path)
    return path


def run(fork_server, folder, root, checkpoint, *options, world=1):
    """Exit codes, what the first process printed, and the folder of the log, if there is one."""
    folder.mkdir()
    argv = [CONFIG, checkpoint, '--work-dir', folder / 'work']
    argv += ['--launcher', 'pytorch'] if world > 1 else []
    argv += [*options, '--cfg-options', 'model.size=64', 'test_dataloader.num_workers=0']
    logs = [folder / f'printed_{rank}.txt' for rank in range(world)]
    variables = dict(DAVIS_ROOT=str(root))
    processes = fork_server.launch(ROOT / 'tools' / 'test.py', argv, logs, variables)
    codes = fork_server.wait(*processes)
    found = list((folder / 'work').glob('*/video_scores.json'))
    return codes, (folder / 'printed_0.txt').read_text(), found[0].parent if found else None


def test_one_process_equals_two_and_leaves_masks_videos_and_a_sheet(
    davis, checkpoint, fork_server, tmp_path
):
    (davis / 'ImageSets' / '2017' / 'val.txt').write_text('both\ngone\none\n')
    numbers, masks = [], []
    for world in (1, 2):
        codes, log, folder = run(
            fork_server, tmp_path / f'run_{world}', davis, checkpoint, world=world
        )
        assert codes == [0] * world, log[-3000:]
        content = json.loads((folder / 'video_scores.json').read_text())
        numbers.append(content['numbers'])
        assert (folder / 'video_scores.png').is_file()
        assert {path.name for path in (folder / 'overlays').iterdir()} == {'both.mp4', 'one.mp4'}
        files = sorted((folder / 'masks').rglob('*.png'))
        assert len(files) == 7 + 5
        masks.append([np.array(Image.open(path)) for path in files])
        assert 'Left out 1 of 3 sequences, the first: gone' in log and 'J&F' in log
    assert content['checkpoint']['path'] == str(checkpoint)
    assert 'label propagation' in content['protocol']
    assert numbers[0] == numbers[1]
    assert (numbers[0]['sequences'], numbers[0]['objects'], numbers[0]['frames']) == (2, 3, 8)
    assert 0 < numbers[0]['J&F'] <= 1 and numbers[0]['settings']['model']['radius'] == 12
    assert all(np.array_equal(a, b) for a, b in zip(*masks, strict=True))


def test_predictions_can_be_kept_and_bad_data_are_said(davis, checkpoint, fork_server, tmp_path):
    codes, log, _ = run(
        fork_server, tmp_path / 'out', davis, checkpoint, '--out', str(tmp_path / 'out.pkl')
    )
    assert codes == [0] and (tmp_path / 'out.pkl').is_file(), log[-3000:]
    codes, log, _ = run(fork_server, tmp_path / 'gone', tmp_path / 'nowhere', checkpoint)
    assert codes == [2] and 'set test_dataloader.dataset.data_root' in log
    assert 'Traceback' not in log
    for name in ('both', 'one'):
        (davis / 'JPEGImages' / '480p' / name / '00001.jpg').unlink()
    codes, log, _ = run(fork_server, tmp_path / 'none', davis, checkpoint)
    assert codes != [0] and 'None of the sequences could be used (2 in all); the first is' in log
    assert 'Traceback' not in log


@pytest.mark.parametrize('name', ['davis2017', 'random_vits_davis2017'])
def test_configs_have_the_settings_of_the_release(name, davis, checkpoint, monkeypatch):
    monkeypatch.setenv('DAVIS_ROOT', str(davis))
    cfg = Config.fromfile(str(CONFIG.with_name(f'{name}.py')))
    assert (cfg.checkpoint_key is None) == (name != 'davis2017')
    if cfg.checkpoint_key is not None:
        cfg.merge_from_dict({cfg.checkpoint_key: str(checkpoint)})
    model = MODELS.build(cfg.model)
    assert (model.size, model.multiple, model.last) == (480, 64, 7)
    assert model.neighbours == dict(radius=12, topk=5, temperature=0.1)
    mean, std = (each.flatten() / 255 for each in (model.features.mean, model.features.std))
    torch.testing.assert_close(mean, torch.tensor([0.485, 0.456, 0.406]))
    torch.testing.assert_close(std, torch.tensor([0.228, 0.224, 0.225]))
    assert len(DATASETS.build(cfg.test_dataloader.dataset)) == 2
    assert METRICS.build(cfg.test_evaluator[0]).name == 'video_scores'


@pytest.mark.parametrize(
    'key, meant', [('model.radus', 'radius'), ('model.features.laier', 'layer')]
)
def test_keys_that_nothing_reads_are_named(key, meant):
    with pytest.raises(InputError, match=meant):
        cli.load_config(str(CONFIG), {key: 3})
