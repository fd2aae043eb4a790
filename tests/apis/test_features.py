import io

import numpy as np
import pytest
import torch
from mmpretrain.registry import MODELS
from PIL import Image

import mmc_plugin  # noqa: F401  registers the model
from mmc_plugin.apis.features import extract_features, frozen_features, to_pixels
from mmc_plugin.datasets.transforms.loading import UnreadableImageError
from mmc_plugin.models.features import FrozenFeatures

ARCH = dict(embed_dims=16, num_layers=3, num_heads=2, feedforward_channels=32)
VIT = dict(type='PretrainedViT', arch=ARCH, img_size=32, patch_size=8, out_type='raw')


@pytest.fixture
def pixels():
    return np.random.default_rng(0).integers(0, 256, (20, 31, 3), dtype=np.uint8)


def encoded(pixels, form='PNG', **keys):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, form, **keys)
    return buffer.getvalue()


def test_every_way_to_give_an_image_gives_the_same_pixels(pixels, tmp_path):
    data = encoded(pixels)
    path = tmp_path / 'a.png'
    path.write_bytes(data)
    for image in (pixels, Image.fromarray(pixels), data, path, str(path)):
        assert np.array_equal(to_pixels(image).permute(1, 2, 0), pixels)
    grey = to_pixels(pixels[..., 0])
    assert grey.shape == (3, 20, 31) and torch.equal(grey[0], grey[2])
    assert to_pixels(pixels[:, ::-1]).shape == (3, 20, 31)  # no negative strides in torch


def test_deep_pixels_are_scaled_and_those_of_unknown_range_refused(pixels):
    grey = pixels[..., 0]
    deep = Image.fromarray(grey.astype(np.uint16) * 257)
    assert np.array_equal(to_pixels(deep)[0], grey)
    with pytest.raises(UnreadableImageError, match='whose range is unknown'):
        to_pixels(Image.fromarray(grey.astype(np.float32) / 255))


def test_images_are_turned_upright(pixels):
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encoded(pixels, exif=exif)
    expected = np.rot90(pixels, 3)
    for image in (data, Image.open(io.BytesIO(data))):
        assert np.array_equal(to_pixels(image).permute(1, 2, 0), expected)


@pytest.mark.parametrize(
    'image, words',
    [
        (np.zeros((4, 4, 3)), 'uint8 .* got float64'),
        (np.zeros((4, 4, 4), np.uint8), r'\(4, 4, 4\)'),
        (np.zeros((0, 4, 3), np.uint8), r'\(0, 4, 3\)'),
        (7, 'got int'),
    ],
)
def test_what_is_no_image_is_refused(image, words):
    with pytest.raises(ValueError, match=words):
        to_pixels(image)


def test_broken_bytes_and_files_are_named(tmp_path):
    with pytest.raises(UnreadableImageError, match='5 bytes'):
        to_pixels(b'hello')
    with pytest.raises(UnreadableImageError, match='gone.jpg'):
        to_pixels(tmp_path / 'gone.jpg')


def test_features_of_layers_have_the_shapes_that_are_promised(pixels):
    model = FrozenFeatures(VIT, 32)
    cls, patches = extract_features(model, [pixels, pixels[:9, :9]], [0, -1], 40)
    assert cls.shape == (2, 2, 16) and patches.shape == (2, 2, 5, 5, 16)
    one, _ = extract_features(model, pixels[:9, :9], size=40)
    torch.testing.assert_close(one[0, 0], cls[1, 1])
    with pytest.raises(ValueError, match='no image'):
        extract_features(model, [])


def test_the_teachers_backbone_is_taken_with_its_normalisation():
    head = dict(in_channels=16, hidden_channels=8, out_channels=8, norm_cfg=None)
    model = MODELS.build(
        dict(
            type='MMC',
            backbone=dict(VIT, type='VisionTransformer'),
            rec_head=None,
            loss_weights=dict(rec=0.0, patch=1.0, cls=1.0),
            patch_head=dict(type='PatchContrastHead', **head),
            cls_head=dict(type='GlobalContrastHead', **head),
            data_preprocessor=dict(mean=[1.0, 2.0, 3.0], std=[4.0, 5.0, 6.0]),
        )
    )
    features = frozen_features(model, size=32)
    assert features.backbone is model.teacher.backbone
    assert features.mean.flatten().tolist() == [1, 2, 3]
    assert features.std.flatten().tolist() == [4, 5, 6]
    assert model.backbone.pos_embed.requires_grad  # the student is left alone


def test_a_checkpoint_is_read(tmp_path):
    arch = dict(ARCH, embed_dims=64, num_heads=1)
    model = FrozenFeatures(dict(VIT, arch=arch), 32, seed=3)
    path = tmp_path / 'vit.pth'
    torch.save(
        {
            'state_dict': {
                f'backbone.{key}': value for key, value in model.backbone.state_dict().items()
            }
        },
        path,
    )
    loaded = frozen_features(path, size=32)
    assert torch.equal(loaded.backbone.pos_embed, model.backbone.pos_embed)
    assert loaded.size == 32 and loaded.patch_size == 8
