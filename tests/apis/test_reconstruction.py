"""The student in a checkpoint is found, built and asked; or one sentence says why it is not."""

import copy
import pickle

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmpretrain.registry import MODELS

from mmc_plugin.apis import load_student, reconstruct

ROOT = __file__.rpartition('tests')[0]
MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)


@pytest.fixture(scope='module')
def run(tmp_path_factory):
    """A checkpoint of a run as mmengine writes it, and the model that it holds."""
    config = Config.fromfile(f'{ROOT}tests/configs/tiny_mmc.py')
    torch.manual_seed(0)
    model = MODELS.build(config.model).eval()
    path = tmp_path_factory.mktemp('run') / 'epoch_4.pth'
    torch.save(dict(meta=dict(cfg=config.pretty_text), state_dict=model.state_dict()), path)
    return path, model, config


def saved(path, config, state):
    torch.save(dict(meta=dict(cfg=config), state_dict=state), path)
    return path


def photograph():
    return np.random.default_rng(0).integers(0, 256, (40, 56, 3), dtype=np.uint8)


@pytest.mark.parametrize('other', [False, True])
def test_a_reconstruction_is_the_head_on_the_corrupted_middle(run, other):
    path, model, _ = run
    image, filling = photograph(), photograph()[::-1].copy()
    made = reconstruct(load_student(path), image, 0.6, 3, filling if other else None)
    middles = []
    for each in (image, filling):
        square = torch.from_numpy(each[:, 8:48].transpose(2, 0, 1).copy()).float()[None]
        small = torch.nn.functional.interpolate(
            square, (32, 32), mode='bilinear', antialias=True
        )  # fmt: skip
        middles.append(small[0].permute(1, 2, 0).round().numpy())
    np.testing.assert_allclose(made.clean, middles[0], atol=1)
    assert made.filling == ('another image' if other else 'noise')
    assert made.mask.shape == (32, 32) and 0.2 < made.mask.mean() <= 0.6
    blocks = made.mask.reshape(4, 8, 4, 8).transpose(0, 2, 1, 3).reshape(16, 64)
    assert (blocks.all(1) | ~blocks.any(1)).all()  # whole patches
    np.testing.assert_array_equal(made.corrupted[~made.mask], made.clean[~made.mask])
    if other:
        np.testing.assert_allclose(made.corrupted[made.mask], middles[1][made.mask], atol=1)

    # The head, by hand and in float64, on what no pixel of the picture has lost.
    if other:
        twin = copy.deepcopy(model).double()
        seen = np.where(made.mask[..., None], middles[1], middles[0])
        inputs = torch.from_numpy((seen - MEAN) / STD).permute(2, 0, 1)[None]
        with torch.no_grad():
            tokens = twin.backbone(inputs)[-1][:, 1:]
            pixels = twin.rec_head(tokens.flatten(0, 1)).view(4, 4, -1)
        for row, column in ((0, 0), (1, 3), (3, 2)):
            patch = twin.rec_head.to_image(pixels.view(1, 16, -1), 32, 32)[0].numpy()
            box = slice(8 * row, 8 * row + 8), slice(8 * column, 8 * column + 8)
            expected = patch.transpose(1, 2, 0)[box] * STD + MEAN
            np.testing.assert_allclose(made.reconstructed[box], expected.clip(0, 255), atol=1.5)


def test_the_seed_draws_the_mask(run):
    model = load_student(run[0])
    masks = [reconstruct(model, photograph(), 0.5, seed).mask for seed in (0, 0, 1)]
    assert np.array_equal(masks[0], masks[1]) and not np.array_equal(masks[0], masks[2])
    for coverage in (0, 1.1, float('nan')):
        with pytest.raises(ValueError, match='coverage must be above 0'):
            reconstruct(model, photograph(), coverage)


def test_what_a_backbone_started_from_is_not_opened(run, tmp_path):
    _, model, config = run
    changed = copy.deepcopy(config)
    changed.model.backbone.update(
        type='PretrainedViT', checkpoint=str(tmp_path / 'gone.pth'), allow_pickle=True, frozen=False
    )
    path = saved(tmp_path / 'a.pth', changed.pretty_text, MODELS.build(changed.model).state_dict())
    assert load_student(path).backbone.checkpoint is None


class Shout:
    def __reduce__(self):
        return print, ('run',)


def hostile(folder, case, run):
    path, model, config = run
    state = model.state_dict()
    config = copy.deepcopy(config)
    text = None
    if case == 'folder':
        folder = folder / 'hub'
        folder.mkdir()
        (folder / 'config.json').write_text('{"model_type": "vit"}')
        from safetensors.torch import save_file

        save_file({'a.weight': torch.zeros(2)}, folder / 'model.safetensors')
        return folder
    if case == 'empty folder':
        return folder
    if case == 'missing':
        return folder / 'no.pth'
    if case == 'code':
        file = folder / 'a.pth'
        file.write_bytes(pickle.dumps(dict(state_dict=Shout())))
        return file
    if case == 'no run':
        return saved(folder / 'a.pth', None, state)
    if case == 'no head':
        state = {key: each for key, each in state.items() if not key.startswith('rec_head')}
    elif case == 'numbers for names':
        state = {0: torch.zeros(2), **state}
        text = "model = dict(type='MMC')"
    elif case == 'dotted':
        config.model.backbone.type = 'os.system'
    elif case == 'auto':
        config.model.backbone = dict(
            type='PretrainedViT', arch='auto', checkpoint=str(folder / 'a'), allow_pickle=True
        )
    elif case == 'huge':
        config.model.patch_head.out_channels = 10**9
    elif case == 'deeper':
        config.model.backbone.arch.num_layers = 1
    elif case == 'unknown':
        config.model.type = 'Nothing'
    elif case == 'no model':
        text = "model = dict(type='CrossEntropyLoss')"
    elif case == 'settings':
        config.model.backbone.arch = 'nothing'
    return saved(folder / 'a.pth', text or config.pretty_text, state)


@pytest.mark.parametrize(
    'case, words',
    [
        ('folder', 'holds no student: it is not the checkpoint of a run'),
        ('empty folder', 'holds no|no config.json'),
        ('missing', 'does not exist'),
        ('code', 'a.pth'),
        ('no run', 'holds no student'),
        ('no head', 'without a reconstruction head'),
        ('numbers for names', 'cannot be built'),
        ('dotted', "names 'os.system', which is not registered"),
        ('auto', "needs a checkpoint with arch='auto'"),
        ('huge', 'is of a model with .* weights, not of this'),
        ('deeper', 'does not fit the config: .* too many'),
        ('unknown', 'cannot be built'),
        ('no model', 'without a reconstruction head|is of a model'),
        ('settings', 'cannot be built'),
    ],
)
def test_what_holds_no_student_is_refused_in_a_sentence(run, case, words, tmp_path, capsys):
    path = hostile(tmp_path, case, run)
    with pytest.raises((ValueError, FileNotFoundError), match=words):
        load_student(path)
    assert 'run' not in capsys.readouterr().out.split()


def test_a_hub_model_holds_no_student(monkeypatch):
    from mmc_plugin.checkpoints import Checkpoint, files

    timm = lambda source: Checkpoint(source, 'timm', {'cls_token': torch.zeros(1, 1, 2)}, None, ())
    monkeypatch.setattr(files, 'read_timm', timm)
    with pytest.raises(ValueError, match='timm:vit_tiny holds no student'):
        load_student('timm:vit_tiny')
    monkeypatch.setattr(files, 'fetch', lambda source: '/nowhere')
    with pytest.raises((ValueError, OSError), match='nowhere'):
        load_student('hf:some/model')


def test_pictures_of_files_are_taken(run, tmp_path):
    image = photograph()
    cv2.imwrite(str(tmp_path / 'a.png'), image[..., ::-1])
    model = load_student(run[0])
    made = [reconstruct(model, each).reconstructed for each in (image, tmp_path / 'a.png')]
    np.testing.assert_array_equal(*made)
