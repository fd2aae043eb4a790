"""The pictures of figures 8 and 9 show what the model sees and makes."""

import runpy
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmpretrain.registry import MODELS

from mmc_plugin.visualization import samples as samples_module
from mmc_plugin.visualization.layers import amplification, layer_panel
from mmc_plugin.visualization.samples import sample_sheet

TOOLS = Path(__file__).resolve().parents[2] / 'tools' / 'visualization'
# A name in the package: only errors that this package raises become sentences.
BROWSE, LAYERS = (
    runpy.run_path(str(TOOLS / f'{name}.py'), run_name=f'mmc_plugin.{name}')
    for name in ('browse_dataset', 'layer_reconstructions')
)

SMALL = """
_base_ = ['{configs}/mmc/vits_in100_500e.py']
size, patch, width = 32, 8, 24
head = dict(in_channels=width, hidden_channels=32)
model = dict(
    backbone=dict(
        arch=dict(
            _delete_=True, embed_dims=width, num_layers={depth}, num_heads=2,
            feedforward_channels=48),
        img_size=size, patch_size=patch),
    rec_head=dict(patch_size=patch, **head), patch_head=head, cls_head=head)
view = [dict(type='ViewCrop', size=size, scale=(0.2, 1.0)), dict(type='ViewColorJitter')]
local = [dict(type='ViewCrop', size=16, scale=(0.05, 0.2))]
train_dataloader = dict(batch_size=2, dataset=dict(data_root=r'{images}', pipeline=[
    dict(type='LoadImage'),
    dict(type='MultiView', num_views=[1, 1, 3], transforms=[view, view, local]),
    dict(type='GMMLMask', align=patch),
    dict(type='PackViews')]))
"""


def write_config(path, images, depth=8) -> str:
    configs = TOOLS.parents[1] / 'configs'
    path.write_text(SMALL.format(configs=configs, images=images, depth=depth))
    return str(path)


@pytest.fixture(scope='module')
def config(photo_folder, tmp_path_factory) -> str:
    return write_config(tmp_path_factory.mktemp('tools') / 'small.py', photo_folder)


def build(config: str) -> torch.nn.Module:
    cfg = Config.fromfile(config)
    init_default_scope(cfg.default_scope)
    torch.manual_seed(0)
    model = MODELS.build(cfg.model)
    model.init_weights()
    with torch.no_grad():  # as a trained one, whose layers differ much
        for p in model.parameters():
            p.add_(0.2 * torch.randn_like(p))
    return model


@pytest.fixture(scope='module')
def checkpoint(config, tmp_path_factory) -> str:
    path = tmp_path_factory.mktemp('weights') / 'epoch_1.pth'
    torch.save(dict(state_dict=build(config).state_dict(), meta=dict(epoch=1)), path)
    return str(path)


# Figure 8


def draw(config, number=6, seed=0, original=False):
    cfg = Config.fromfile(config)
    init_default_scope(cfg.default_scope)
    return BROWSE['draw_samples'](cfg, number, seed, original)


def test_samples_are_corrupted_inside_their_masks_only(config):
    samples = draw(config)
    kinds = set()
    for i, sample in enumerate(samples):
        before = samples[i - 1]
        for v in range(2):
            mask, kind = sample.mask[v], sample.kinds[v]
            kinds.add(kind)
            assert np.array_equal(sample.seen[v][~mask], sample.clean[v][~mask])
            inside = sample.seen[v][mask]
            if kind == 'another image':
                assert np.array_equal(inside, before.clean[v][mask])
            else:  # normal noise, cut where pixels end
                assert inside.std() > 40
            assert 0.2 < mask.mean() < 0.9
    assert kinds == {'noise', 'another image'}
    (alone,) = draw(config, number=1)  # there is no other image
    assert list(alone.kinds) == ['noise', 'noise']


METHODS = 'mmc sit mcssl ibot msn maskco mae dino mocov3'.split()
HIDING = dict(ibot='masked', maskco='masked', mae='masked', msn='dropped')


@pytest.fixture(scope='module')
def shown(photo_folder):
    """By method, the first samples of its small config."""
    configs = TOOLS.parents[1] / 'configs'
    found = {}
    for method in METHODS:
        cfg = Config.fromfile(configs / method / 'vitt_caltech101.py')
        cfg.train_dataloader.dataset.data_root = str(photo_folder)
        init_default_scope(cfg.default_scope)
        found[method] = BROWSE['draw_samples'](cfg, 6, 0, False)
    return found


@pytest.mark.parametrize('method', METHODS)
def test_each_method_is_shown_as_its_student_sees_the_views(shown, method):
    samples, mean = shown[method], np.array([124, 116, 104])
    views = [(sample, v) for sample in samples for v in range(len(sample.clean))]
    assert len(views) == 6 * (1 if method == 'mae' else 2)
    alone = {v for sample, v in views if sample.seen[v] is None}
    assert alone == dict(msn={0}, maskco={1}).get(method, set())
    kinds = set()
    for sample, v in views:
        assert len(sample.crops) == (4 if method in ('dino', 'ibot', 'mcssl', 'msn') else 0)
        kind, mask = sample.kinds[v], sample.mask[v]
        if v in alone:
            assert kind == '' and not mask.any()
            continue
        kinds.add(kind)
        assert np.array_equal(sample.seen[v][~mask], sample.clean[v][~mask])
        inside = sample.seen[v][mask]
        if kind == 'zeros':  # in normalised pixels: the mean colour
            assert (inside == mean).all() and mask.mean() <= 0.5
        elif kind in HIDING.values():
            assert set(inside.ravel()) <= {150, 190}
            cells = mask.reshape(4, 12, 4, 12)
            assert np.array_equal(cells.all((1, 3)), cells.any((1, 3)))  # whole patches
        elif not kind:
            assert not mask.any()
    expected = dict.fromkeys(METHODS, {''}) | {key: {word} for key, word in HIDING.items()}
    expected |= dict.fromkeys(('sit', 'mcssl'), {'zeros', 'another image'})
    expected['mmc'] = {'noise', 'another image'}
    assert kinds == expected[method]


def test_patches_are_hidden_as_the_methods_do(shown):
    shares = {key: [sample.mask.mean((1, 2)) for sample in shown[key]] for key in HIDING}
    assert all(share == [0.75] for share in shares['mae'])
    assert all(0 <= share.max() <= 0.5 for share in shares['ibot'])
    assert 0 < np.mean(shares['ibot']) < 0.4
    # MSN: 12 of 16 patches are left, the same in all images of a batch.
    masks = np.stack([sample.mask[1] for sample in shown['msn']])
    assert masks[0].mean() == 0.25 and (masks == masks[:1]).all()
    assert len({sample.mask.tobytes() for sample in shown['mae']}) > 1
    for sample in shown['maskco']:
        left, top, right, bottom = sample.regions[0, 0]
        inside = np.zeros((48, 48), bool)
        inside[round(top) : round(bottom), round(left) : round(right)] = True
        # The hidden region, but for the parts of patches at its borders.
        assert sample.regions.shape == (2, 4, 4) and (inside & sample.mask[0]).any()
        assert (inside & sample.mask[0]).sum() > 0.5 * sample.mask[0].sum()


def test_sheets_say_what_was_done(shown, monkeypatch):
    figures = []
    new_figure = samples_module.new_figure
    monkeypatch.setattr(
        samples_module, 'new_figure', lambda *size: figures.append(new_figure(*size)) or figures[-1]
    )
    for method, titles, captions in [
        ('sit', 'view 1,corrupted,mask,view 2,corrupted,mask', {'zeros', 'another image'}),
        ('ibot', 'view 1,masked,view 2,masked,4 local crops', {'of the patches'}),
        ('msn', 'view 1,view 2,dropped,4 local crops', {'teacher alone', '25 % of the patches'}),
        ('maskco', 'view 1,masked,view 2',
         {'teacher alone', '4 regions, hidden: orange', 'of the patches'}),
        ('mae', 'view 1,masked', {'75 % of the patches'}),
        ('dino', 'view 1,view 2,4 local crops', {'as it is'}),
        ('mocov3', 'view 1,view 2', {'as it is'}),
    ]:  # fmt: skip
        sample_sheet(shown[method])
        axes = figures.pop().axes
        assert ','.join(axis.get_title() for axis in axes if axis.get_title()) == titles
        said = [axis.get_xlabel() for axis in axes if axis.get_xlabel()]
        assert all(any(words in each for words in captions) for each in said), said
        assert all(any(words in each for each in said) for words in captions), said
        frames = [len(axis.patches) for axis in axes if axis.patches]
        assert frames == ([4] * 12 if method == 'maskco' else [])


def test_samples_are_the_first_of_a_training_and_follow_the_seed(config, photo_folder):
    one, same, other = draw(config), draw(config), draw(config, seed=1)
    assert [s.name for s in one] == [s.name for s in same] != [s.name for s in other]
    assert len({s.name for s in one}) == 6
    for a, b in zip(one, same, strict=True):
        assert np.array_equal(a.seen, b.seen)
    assert len(draw(config, number=50)) == len(list(photo_folder.iterdir()))


def test_originals_are_the_files_in_their_colours(config, photo_folder):
    for sample in draw(config, number=2, original=True):
        file = cv2.imread(str(photo_folder / sample.name))[..., ::-1]
        assert sample.original.shape == file.shape
        assert np.abs(sample.original.astype(int) - file).mean() < 2
        assert len(sample.crops) == 3 and sample.crops[0].shape == (16, 16, 3)


def test_browse_writes_sheets(config, tmp_path, capsys):
    folder = tmp_path / 'out'
    BROWSE['main']([
        config, '--output-dir', str(folder), '-n', '5', '--per-sheet', '3', '--show-original',
        '--cfg-options', 'train_dataloader.dataset.pipeline.2.alien_prob=1.0',
    ])  # fmt: skip
    assert sorted(p.name for p in folder.iterdir()) == ['samples_01.png', 'samples_02.png']
    assert capsys.readouterr().out.count('wrote') == 2
    first, second = (cv2.imread(str(p)) for p in sorted(folder.iterdir()))
    assert first.shape[1] == second.shape[1] and first.shape[0] > second.shape[0]


def test_a_sheet_shows_the_pixels_of_its_images(config):
    samples = draw(config, number=2)
    samples[0].clean = np.full_like(samples[0].clean, (250, 3, 120))  # colours of nothing else
    samples[1].seen = np.full_like(samples[1].seen, (1, 200, 7))
    sheet = sample_sheet(samples, 'a title').astype(int)
    places = [
        np.argwhere(np.abs(sheet - colour).max(-1) <= 1) for colour in ((250, 3, 120), (1, 200, 7))
    ]
    assert all(len(found) > 2 * 100**2 for found in places)  # two views each, of more than 100²
    assert places[0][:, 0].max() < places[1][:, 0].min()  # the second sample is below
    assert places[0][:, 1].min() < places[1][:, 1].min()  # clean is left of corrupted


def test_browse_lists_what_it_leaves_out(config, photo_folder, tmp_path, capsys):
    shutil.copytree(photo_folder, tmp_path / 'photos')
    (tmp_path / 'photos' / 'empty.png').touch()
    root = f'train_dataloader.dataset.data_root={tmp_path / "photos"}'
    out = str(tmp_path / 'out')
    BROWSE['main']([config, '-n', '1', '--output-dir', out, '--cfg-options', root])
    said = capsys.readouterr().out
    assert 'Left out, since they cannot be read:\n' in said and 'empty.png (the file is' in said


def test_browse_says_what_is_wrong(config, tmp_path, capsys):
    with pytest.raises(SystemExit) as error:
        BROWSE['main']([config, '--cfg-options', f'train_dataloader.dataset.data_root={tmp_path}'])
    assert error.value.code == 2 and 'no image in' in capsys.readouterr().err
    plain = tmp_path / 'plain.py'
    plain.write_text(f"""
_base_ = [r'{config}']
train_dataloader = dict(dataset=dict(pipeline=[
    dict(type='LoadImage'), dict(type='MultiView', num_views=[2], transforms=[_base_.view]),
    dict(type='PackViews')]))
""")
    with pytest.raises(SystemExit) as error:
        BROWSE['main']([str(plain), '--output-dir', str(tmp_path)])
    message = capsys.readouterr().err
    assert error.value.code == 2 and "MMC needs 'mask' of each image: put GMMLMask" in message
    plain.write_text(
        f"_base_ = [r'{config}']\ntrain_dataloader = dict(dataset=dict(pipeline=[\n"
        "    dict(type='LoadImage'), dict(type='PackInputs')]))\n"
    )
    with pytest.raises(SystemExit) as error:
        BROWSE['main']([str(plain), '-n', '1', '--output-dir', str(tmp_path)])
    assert error.value.code == 2 and 'gives no views: only configs of' in capsys.readouterr().err


# Figure 9


@pytest.mark.parametrize(
    'size, factor', [(1.0, 1), (0.4, 2), (0.15, 5), (0.03, 20), (0.0099, 100), (0.5, 2)]
)
def test_amplification_is_round_and_keeps_the_range(size, factor):
    assert amplification(np.full((2, 5, 5), -size, np.float32)) == factor


def test_differences_are_grey_where_nothing_changes_and_amplified_elsewhere():
    clean = np.zeros((1, 8, 8, 3), np.uint8)
    differences = np.zeros((2, 1, 8, 8, 3), np.float32)
    differences[1] = (0.1, -0.1, 0.0)
    panel = layer_panel(
        clean, clean, np.zeros((3, 1, 8, 8, 3), np.uint8), differences, [4, 5, 6], 5.0, ['x']
    ).astype(int)
    found = [np.argwhere(np.abs(panel - colour).max(-1) <= 1) for colour in (128, (191, 64, 128))]
    assert all(len(places) > 100**2 for places in found)
    assert np.median(found[0][:, 1]) < np.median(found[1][:, 1]) - 100  # 5 − 4 left of 6 − 5
    one = layer_panel(
        clean, clean, np.zeros((1, 1, 8, 8, 3), np.uint8), differences[:0], [6], 1.0, ['x']
    )
    assert one.shape[0] < panel.shape[0]


def test_layers_tool_draws_the_last_six(config, checkpoint, photo_folder, tmp_path, capsys):
    calls = []
    main = LAYERS['main']
    names = main.__globals__
    panel = names['layer_panel']

    def spy(*arguments):
        calls.append(arguments)
        return panel(*arguments)

    names['layer_panel'] = spy
    try:
        out = tmp_path / 'new' / 'layers.png'
        main([config, checkpoint, str(photo_folder), '-n', '3', '--out', str(out)])
    finally:
        names['layer_panel'] = panel
    clean, corrupted, made, differences, layers, factor, files, _ = calls[0]
    assert layers == [3, 4, 5, 6, 7, 8] and len(files) == 3
    assert f'{factor:g} times' in capsys.readouterr().out and out.is_file()

    # From the picture of the corrupted images back to what the student makes of them; noise that
    # no pixel can show is lost there, so a rough match is all to ask for.
    model = build(config)
    with torch.no_grad():
        expected = model.eval().reconstruct_layers(_normalised(model, corrupted), [-1])[0]
    expected = model.data_preprocessor.denormalise(expected).permute(0, 2, 3, 1).numpy().astype(int)
    assert np.corrcoef(expected.ravel(), made[-1].astype(int).ravel())[0, 1] > 0.5
    touched = (clean != corrupted).any(-1)
    assert 0.3 < touched.mean() < 0.95
    np.testing.assert_allclose(differences * 255, np.diff(made.astype(int), axis=0), atol=1e-3)


def test_layers_tool_corrupts_as_much_as_the_pipeline_does(
    config, checkpoint, photo_folder, tmp_path, monkeypatch
):
    shares = []
    panel = LAYERS['main'].__globals__['layer_panel']

    def spy(clean, corrupted, *others):
        shares.append((clean != corrupted).any(-1).mean())
        return panel(clean, corrupted, *others)

    monkeypatch.setitem(LAYERS['main'].__globals__, 'layer_panel', spy)
    call = [
        config,
        checkpoint,
        str(photo_folder),
        '--layers',
        '8',
        '--out',
        str(tmp_path / 'a.png'),
    ]
    little = ['--cfg-options', 'train_dataloader.dataset.pipeline.2.noise_ratio=0.2']
    LAYERS['main']([*call, *little])
    LAYERS['main']([*call, *little, '--coverage', '0.9'])
    assert 0.1 < shares[0] <= 0.2 + 1 / 16 and shares[1] > 0.45


def _normalised(model, images):
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2).float()
    mean, std = model.data_preprocessor.mean[0], model.data_preprocessor.std[0]
    return (pixels - mean) / std


def sentence(capsys, *arguments) -> str:
    with pytest.raises(SystemExit) as error:
        LAYERS['main']([str(argument) for argument in arguments])
    assert error.value.code == 2
    return capsys.readouterr().err.splitlines()[-1]


def test_layers_tool_says_what_does_not_fit(config, checkpoint, photo_folder, tmp_path, capsys):
    out = tmp_path / 'a.png'
    for depth, words in ((9, 'weights are missing (backbone.layers.8'), (7, 'are too many')):
        other = write_config(tmp_path / f'{depth}.py', photo_folder, depth)
        message = sentence(capsys, other, checkpoint, photo_folder, '--out', out)
        assert 'does not fit the config' in message and words in message
    wide = 'model.backbone.arch.feedforward_channels=64'
    message = sentence(capsys, config, checkpoint, photo_folder, '--cfg-options', wide)
    assert 'have another shape' in message and 'is (48, 24), not (64, 24)' in message
    message = sentence(capsys, config, checkpoint, photo_folder, '--layers', '0', '4', '9')
    assert 'from 1 to 8 in this model, got 0, 9' in message
    message = sentence(capsys, config, tmp_path / 'no.pth')
    assert 'no.pth does not exist' in message
    message = sentence(capsys, config, checkpoint, tmp_path / 'no.jpg')
    assert 'no.jpg' in message
    (tmp_path / 'broken.jpg').write_bytes(b'\xff\xd8\xff')
    message = sentence(capsys, config, checkpoint, tmp_path / 'broken.jpg')
    assert 'none of the images can be read' in message
    assert not out.exists()
    photo = next(photo_folder.glob('*.jpg'))
    LAYERS['main']([config, checkpoint, str(photo), '--out', str(out)])
    alone = out.read_bytes()
    capsys.readouterr()
    broken = str(tmp_path / 'broken.jpg')
    LAYERS['main']([config, checkpoint, broken, str(photo), '--out', str(out)])
    assert f'Left out, since they cannot be read:\n  {broken}\n' in capsys.readouterr().out
    assert out.read_bytes() == alone
