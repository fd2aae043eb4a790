"""Images of 1, 4 and 10 channels, from their files to an exported network."""

import re
from pathlib import Path

import numpy as np
import pytest
import tifffile
import timm
import torch
from mmengine.config import ConfigDict
from PIL import Image
from timm.models import VisionTransformer
from timm.models._manipulate import adapt_input_conv
from transformers import ViTModel

from mmc_plugin.apis import load_backbone
from mmc_plugin.checkpoints import read_checkpoint
from mmc_plugin.checkpoints.export import export_backbone
from mmc_plugin.datasets.transforms import view_ops
from mmc_plugin.datasets.transforms.channels import decode_channels
from mmc_plugin.datasets.transforms.image_headers import UndecodableError
from mmc_plugin.datasets.transforms.loading import LoadImage
from mmc_plugin.datasets.transforms.packing import to_planes
from mmc_plugin.engine.training import training_config
from mmc_plugin.errors import InputError
from mmc_plugin.models.backbones.pretrained_vit import PretrainedViT, adapt_channels

ROOT = Path(__file__).resolve().parents[1]
CONFIG = str(ROOT / 'tests' / 'configs' / 'tiny_mmc.py')
MOST = 2**25


@pytest.fixture(scope='module')
def levels():
    """16-bit images (12, 40, 52, 10) with structure, each channel on a scale of its own."""
    generator = np.random.default_rng(0)
    coarse = generator.random((12, 5, 7, 10)).repeat(8, 1).repeat(8, 2)[:, :, :52]
    return (coarse * 6000 * np.arange(1, 11) + 500).astype(np.uint16)


def write(folder, images, kind):
    folder.mkdir()
    for number, image in enumerate(images):
        path = folder / f'{number:02}.{kind}'
        if kind == 'npy':
            np.save(path, image)
        elif kind == 'png':
            Image.fromarray(image[..., 0]).save(path)
        else:
            tifffile.imwrite(path, image.transpose(2, 0, 1), compression='zlib')
    return folder


@pytest.mark.parametrize('channels, kind', [(1, 'png'), (4, 'tif'), (10, 'npy'), (10, 'tif')])
def test_from_files_to_exported_features(channels, kind, levels, fork_server, tmp_path):
    images = levels[..., :channels]
    folder, work_dir = write(tmp_path / 'images', images, kind), tmp_path / 'run'
    log = tmp_path / 'printed.txt'
    run = fork_server.start(
        ROOT / 'tools' / 'train.py',
        [CONFIG, '--work-dir', str(work_dir), '--cfg-options', f'in_channels={channels}',
         f'train_dataloader.dataset.data_root={folder}', 'train_cfg.max_epochs=2',
         'optim_wrapper.precision=fp32', 'train_dataloader.num_workers=0'],
        log,
    )  # fmt: skip
    assert fork_server.wait(run) == [0], log.read_text()[-3000:]
    model = load_backbone(work_dir / 'epoch_2.pth')
    assert model.patch_embed.projection.in_channels == channels
    # Mean and standard deviation of the files: 257 of their levels are one of 0 … 255.
    values = images.reshape(-1, channels).astype(np.float64) / 257
    assert np.allclose(model.source.mean, values.mean(0), atol=1e-2)
    assert np.allclose(model.source.std, values.std(0), atol=1e-2)

    inputs = torch.randn(2, channels, 32, 32)
    expected = model(inputs)[0]
    checkpoint = read_checkpoint(str(work_dir / 'epoch_2.pth'))
    export_backbone(model, str(tmp_path / 'of_timm.pth'), 'timm', checkpoint.sha256)
    code = (tmp_path / 'of_timm.pth.md').read_text()
    theirs = VisionTransformer(
        img_size=32, patch_size=8, embed_dim=48, depth=2, num_heads=3, mlp_ratio=2, num_classes=0,
        in_chans=channels,
    )  # fmt: skip
    timm.models.load_checkpoint(theirs, tmp_path / 'of_timm.pth')
    with torch.no_grad():
        assert torch.allclose(theirs.eval().forward_features(inputs), expected, atol=1e-5)
    assert f'torch.rand(1, {channels}, 32, 32)' in code and f'in_chans={channels}' in code
    assert f'mean ({channels} channels)' in code

    export_backbone(model, str(tmp_path / 'hf'), 'huggingface', checkpoint.sha256)
    theirs = ViTModel.from_pretrained(tmp_path / 'hf', add_pooling_layer=False).eval()
    with torch.no_grad():
        assert torch.allclose(theirs(inputs).last_hidden_state, expected, atol=1e-5)
    again = load_backbone(tmp_path / 'hf')
    assert torch.allclose(again(inputs)[0], expected, atol=1e-5)
    assert np.allclose(again.source.mean, model.source.mean, atol=1e-3)

    program = tmp_path / 'program.pt'
    export_backbone(model, str(program), 'torchscript', checkpoint.sha256)
    cls, patches = torch.jit.load(program)(inputs)
    assert torch.allclose(torch.cat([cls[:, None], patches], 1), expected, atol=1e-5)


@pytest.mark.parametrize('kind', ['npy', 'tif'])
@pytest.mark.parametrize('first', [False, True])
def test_all_levels_are_read(kind, first, levels, tmp_path):
    image = levels[0, :, :, :4]
    stored = np.ascontiguousarray(image.transpose(2, 0, 1) if first else image)
    path = tmp_path / f'image.{kind}'
    if kind == 'npy':
        np.save(path, stored)
    else:
        tifffile.imwrite(path, stored, photometric='minisblack')
    found = LoadImage(in_channels=4).transform(dict(img_path=str(path)))
    assert found['img'].dtype == np.float32 and found['img_shape'] == image.shape[:2]
    assert np.allclose(found['img'] * 257, image, atol=0.02)  # all 16 bits of them
    load = LoadImage(in_channels=4, value_range=(1000, 11000))
    expected = ((image.astype(np.float64) - 1000) / 10000 * 255).clip(0, 255)
    found = load.transform(dict(img_path=str(path)))['img']
    assert np.allclose(found, expected, atol=1e-3)
    assert torch.equal(to_planes(found), torch.from_numpy(found).permute(2, 0, 1))


def test_grey_and_transparent_images(tmp_path):
    colour = np.random.default_rng(0).integers(0, 255, (9, 7, 4), dtype=np.uint8)
    for name, image, channels, expected in (
        ('rgba', Image.fromarray(colour), 4, colour),
        ('grey', Image.fromarray(colour[..., 0]), 1, colour[..., :1]),
        ('luma', Image.fromarray(colour[..., :3]), 1,
         np.asarray(Image.fromarray(colour[..., :3]).convert('L'))[..., None]),
    ):  # fmt: skip
        image.save(tmp_path / f'{name}.png')
        data = (tmp_path / f'{name}.png').read_bytes()
        assert np.array_equal(decode_channels(data, channels, MOST), expected), name


def npy(array, path):
    np.save(path, array, allow_pickle=True)
    return path.read_bytes()


def test_what_cannot_be_read_is_said(tmp_path):
    path = tmp_path / 'x.npy'
    small = np.zeros((3, 7, 5), np.uint16)
    cases = [
        (npy(small, path), r'an array \(3, 7, 5\), where in_channels=4 needs \(height, width, 4\)'),
        (
            npy(small[..., :4].astype(np.float32), path),
            'of type float32, whose range is unknown: say with',
        ),
        (npy(np.array([[None]]), path), 'no whole array of NumPy'),
        (npy(small, path)[:-3], 'no whole array of NumPy'),
        (npy(np.zeros((40, 40, 4), np.uint8), path), 'larger than 100 pixels'),
        (b'II*\0' + bytes(20), 'damaged'),
    ]
    for data, words in cases:
        with pytest.raises(UndecodableError, match=words):
            decode_channels(data, 4, 100)
    with pytest.raises(UndecodableError, match='not finite'):
        decode_channels(npy(np.full((4, 4, 4), np.nan), path), 4, 100, (0, 1))
    # What an array claims is looked at before there is memory for it.
    header = npy(small, path)
    huge = re.sub(rb'\(3, 7, 5\)', b'(99999, 99999, 4)', header)
    with pytest.raises(UndecodableError, match='larger than|no whole array'):
        decode_channels(huge, 4, 100)
    for arguments, words in (
        (dict(in_channels=0), 'in_channels must be a whole number from 1'),
        (dict(in_channels=4, value_range=(3, 3)), r'value_range=\(3, 3\) must rise'),
        (dict(value_range=(0, 9)), 'needs in_channels other than 3'),
        (dict(in_channels=4, value_range=7), 'value_range must be two numbers'),
    ):
        with pytest.raises(InputError, match=words):
            LoadImage(**arguments)


OPERATIONS = dict(
    crop=lambda image: view_ops.crop_and_resize(image, (3, 5, 30, 40), (24, 20)),
    blur=lambda image: view_ops.gaussian_blur(image, 1.3),
    brightness=lambda image: view_ops.adjust_brightness(image, 1.3),
    solarise=lambda image: view_ops.solarize(image, 128),
)


@pytest.mark.parametrize('name', OPERATIONS)
def test_each_channel_is_treated_as_a_photograph_s(name, levels):
    """Ten channels are as ten images of one, and up to rounding as three of a photograph."""
    change, image = OPERATIONS[name], (levels[0] // 257).astype(np.float32)
    found = change(image)
    assert found.dtype == np.float32 and found.shape[2] == 10
    for channel in range(10):
        alone = change(np.ascontiguousarray(image[..., channel : channel + 1]))
        assert np.allclose(found[..., channel], alone.reshape(found.shape[:2]), atol=1e-4)
    photograph = change(np.ascontiguousarray(image[..., :3].astype(np.uint8)))
    assert np.abs(found[..., :3] - photograph).max() <= 1.01


def test_contrast_and_what_needs_colours(levels):
    image = (levels[0, :, :, :4] / 257).astype(np.float32)
    mean = image.astype(np.float64).mean()
    expected = (mean + 0.6 * (image.astype(np.float64) - mean)).clip(0, 255)
    assert np.allclose(view_ops.adjust_contrast(image, 0.6), expected, atol=1e-3)
    for change, words in (
        (lambda: view_ops.adjust_hue(image, 0.1), 'not a hue .set hue=0 of ViewColorJitter'),
        (lambda: view_ops.adjust_saturation(image, 0.5), 'not a saturation'),
        (lambda: view_ops.to_grey(image), 'leave ViewGrayscale out'),
    ):
        with pytest.raises(InputError, match=f'Images of 4 channels have no colours.*{words}'):
            change()


def options(folder, **more):
    return {'train_dataloader.dataset.data_root': str(folder), **more}


def test_the_key_sets_all_parts(levels, tmp_path, capsys):
    folder = write(tmp_path / 'images', levels[:3, :, :, :4], 'npy')
    cfg = training_config('mmc/vits_channels.py', options(folder), str(tmp_path / 'run'))
    assert cfg.model.backbone.in_channels == cfg.model.rec_head.image_channels == 4
    views = cfg.train_dataloader.dataset.pipeline[0]
    assert views.in_channels == 4 and 'reconstruction' not in cfg.default_hooks
    jitters = [step for view in views.transforms for step in view if step.type == 'ViewColorJitter']
    assert [(x.saturation, x.hue, x.brightness) for x in jitters] == [(0, 0, 0.4)] * 2
    assert not any(step.type == 'ViewGrayscale' for view in views.transforms for step in view)
    assert 'in_channels=4: no saturation, hue, grey or pictures; mean ' in capsys.readouterr().out
    # Three are photographs, with the key as without it.
    plain = training_config('mmc/vits_folder.py', options(folder), str(tmp_path / 'run'))
    three = training_config(
        'mmc/vits_folder.py', options(folder, in_channels=3), str(tmp_path / 'run')
    )
    assert ConfigDict(three.to_dict(), in_channels=None) == ConfigDict(
        plain.to_dict(), in_channels=None
    )


def test_what_is_for_photographs_alone_is_refused(levels, tmp_path):
    folder = write(tmp_path / 'images', levels[:3, :, :, :4], 'npy')
    for config, more, words in (
        ('mae/vits_in1k_800e.py', {}, 'needs a method with a student and a momentum teacher'),
        ('mmc/vits_channels.py',
         {'default_hooks.probe.type': 'OnlineProbeHook', 'default_hooks.probe.val_dir': 'x'},
         'OnlineProbeHook evaluates photographs in colour.*default_hooks.probe=None'),
        ('mmc/vits_channels.py', {'in_channels': 0}, 'in_channels is 0: it must be a whole number'),
        ('mmc/vits_channels.py', {'in_channels': 10}, 'where in_channels=10 needs'),
    ):  # fmt: skip
        with pytest.raises((InputError, RuntimeError), match=words):
            training_config(config, options(folder, in_channels=4) | more, str(tmp_path / 'run'))
    flat = levels[:3, :, :, :4].copy()
    flat[..., 2] = 7
    folder = write(tmp_path / 'flat', flat, 'npy')
    with pytest.raises(InputError, match=r'the channels \[2\] \(from 0\) have one value'):
        training_config('mmc/vits_channels.py', options(folder), str(tmp_path / 'run'))


@pytest.mark.parametrize('channels', [1, 4, 10])
def test_a_checkpoint_for_photographs_is_adapted(channels, levels, tmp_path, capsys):
    torch.manual_seed(0)
    theirs = VisionTransformer(img_size=32, patch_size=8, embed_dim=64, depth=1, num_heads=1,
                               num_classes=0)  # fmt: skip
    source = str(tmp_path / 'timm.pth')
    torch.save(theirs.state_dict(), source)
    folder = write(tmp_path / 'images', levels[:3, :, :, :channels], 'npy')
    more = {'in_channels': channels, 'init_from': source, 'model.backbone.img_size': 32}
    cfg = training_config(CONFIG, options(folder) | more, str(tmp_path / 'run'))
    assert f'3 channels is adapted to {channels}, as timm does it' in capsys.readouterr().out
    assert len(cfg.model.data_preprocessor.mean) == channels
    backbone = PretrainedViT(**{k: v for k, v in cfg.model.backbone.items() if k != 'type'})
    backbone.init_weights()
    weight = theirs.patch_embed.proj.weight.detach()
    expected = adapt_input_conv(channels, weight)
    assert torch.allclose(backbone.patch_embed.projection.weight, expected, atol=1e-7)
    assert torch.equal(adapt_channels(weight, 3), weight)
    # Images of equal channels give what grey photographs gave.
    if channels in (1, 3):
        grey = torch.rand(1, 1, 32, 32)
        before = load_backbone(source)(grey.expand(-1, 3, -1, -1))[0]
        assert torch.allclose(backbone.eval()(grey)[0], before, atol=1e-5)


def test_a_checkpoint_for_other_channels_is_not(levels, tmp_path):
    theirs = VisionTransformer(img_size=32, patch_size=8, embed_dim=64, depth=1, num_heads=1,
                               num_classes=0, in_chans=5)  # fmt: skip
    source = str(tmp_path / 'timm.pth')
    torch.save(theirs.state_dict(), source)
    model = load_backbone(source)
    with pytest.raises(InputError, match='images of 3 channels, where the backbone takes 5'):
        model(torch.rand(1, 3, 32, 32))
    folder = write(tmp_path / 'images', levels[:3, :, :, :4], 'npy')
    with pytest.raises(InputError, match='takes images of 5 channels: set in_channels=5'):
        training_config(
            CONFIG, options(folder, in_channels=4, init_from=source), str(tmp_path / 'run')
        )
