import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmengine.structures import BaseDataElement
from mmpretrain.registry import MODELS
from PIL import Image

from mmc_plugin.checkpoints.metadata import IMAGENET_MEAN, IMAGENET_STD
from mmc_plugin.datasets.image_files import ImageFiles
from mmc_plugin.models.features import (
    FrozenFeatures,
    layer_tokens,
    patch_size_of,
    weights_digest,
)
from mmc_plugin.structures.image_frame import ImageFrame

ARCH = dict(embed_dims=16, num_layers=3, num_heads=2, feedforward_channels=32)
VIT = dict(type='PretrainedViT', arch=ARCH, img_size=32, patch_size=8, out_type='raw')
COLOUR = dict(type='PatchColour', patch_size=8)


def photographs(*sizes):
    generator = torch.Generator().manual_seed(0)
    return [
        torch.randint(256, (3, *size), dtype=torch.uint8, generator=generator) for size in sizes
    ]


def test_random_weights_follow_the_seed_and_are_drawn_as_mmpretrain_does():
    torch.manual_seed(5)
    state = torch.get_rng_state()
    one, same, other = (FrozenFeatures(VIT, 32, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), state)
    assert 0.01 < one.backbone.pos_embed.std() < 0.03  # zeros without init_weights
    pairs = list(zip(one.parameters(), same.parameters(), strict=True))
    assert all(torch.equal(a, b) for a, b in pairs)
    assert not torch.equal(one.backbone.pos_embed, other.backbone.pos_embed)
    assert not any(p.requires_grad for p in one.parameters())
    assert not one.train().backbone.training


def test_photographs_of_any_size_are_resized_and_normalised():
    model = FrozenFeatures(COLOUR, 30, fit='pad')
    images = photographs((20, 31), (64, 9))
    inputs = model.prepare(images)
    assert inputs.shape == (2, 3, 32, 32)  # 30 is no multiple of 8
    mean, std = (torch.tensor(each).view(3, 1, 1) for each in (IMAGENET_MEAN, IMAGENET_STD))
    for image, found in zip(images, inputs, strict=True):
        expected = (ImageFrame(*image.shape[1:], 32, 'pad').place(image) - mean) / std
        torch.testing.assert_close(found, expected)
    assert model.prepare(images, 64).shape == (2, 3, 64, 64)


def test_the_checkpoints_normalisation_is_used_unless_another_is_given():
    backbone = MODELS.build(COLOUR)

    class Source:
        mean, std = (1.0, 2.0, 3.0), (4.0, 5.0, 6.0)

    backbone.source = Source
    assert FrozenFeatures(backbone).mean.flatten().tolist() == [1, 2, 3]
    assert FrozenFeatures(backbone, std=(7, 8, 9)).std.flatten().tolist() == [7, 8, 9]


def test_layers_are_those_of_a_shallower_network_with_the_last_norm():
    model = FrozenFeatures(VIT, 32)
    inputs = model.prepare(photographs((32, 32), (32, 48)))
    cls, patches = model.tokens(inputs, [-1, 0, 1, 2])
    assert cls[0].shape == (2, 16) and patches[0].shape == (2, 4, 4, 16)
    assert torch.equal(cls[0], cls[3]) and torch.equal(patches[0], patches[3])
    for layer in range(3):
        shallow = FrozenFeatures(dict(VIT, arch=dict(ARCH, num_layers=layer + 1)), 32)
        shallow.backbone.load_state_dict(model.backbone.state_dict(), strict=False)
        expected = shallow.backbone(inputs)[0]
        torch.testing.assert_close(cls[layer + 1], expected[:, 0])
        torch.testing.assert_close(patches[layer + 1].flatten(1, 2), expected[:, 1:])
    assert not any(block._forward_hooks for block in model.backbone.layers)


def test_colours_are_means_of_patches():
    model = FrozenFeatures(COLOUR, 16)
    inputs = model.prepare(photographs((16, 16)))
    cls, patches = model.tokens(inputs)
    torch.testing.assert_close(patches[0][0].permute(2, 0, 1), F.avg_pool2d(inputs, 8)[0])
    torch.testing.assert_close(cls[0], inputs.mean((2, 3)))
    with pytest.raises(ValueError, match='0 to 0 or from -1 to -1 .* got 1'):
        model.tokens(inputs, [1])


def test_registers_are_not_patches():
    cfg = dict(VIT, num_registers=3)
    model = FrozenFeatures(cfg, 32)
    cls, patches = model.tokens(model.prepare(photographs((32, 32))), [0, 2])
    assert patches[0].shape == patches[1].shape == (1, 4, 4, 16)


def test_a_stride_below_the_patch_gives_a_finer_grid():
    model = FrozenFeatures(VIT, 32, stride=4)
    assert model(photographs((20, 20))).shape == (1, 8, 8, 16)
    inputs = model.prepare(photographs((20, 20)))
    assert torch.equal(model.grid(inputs), model.tokens(inputs)[1][0])


def test_predictions_carry_their_tokens():
    model = FrozenFeatures(VIT, 32, layer=0)
    images = photographs((20, 30), (9, 9))
    samples = model.test_step(dict(inputs=images, data_samples=[BaseDataElement() for _ in images]))
    expected = model.tokens(model.prepare(images), [0])[1][0]
    for sample, tokens in zip(samples, expected, strict=True):
        torch.testing.assert_close(sample.tokens, tokens)
        assert sample.canvas == 32 and sample.fit == 'stretch'
    assert np.isfinite(expected).all()


def test_what_cannot_be_done_is_said():
    with pytest.raises(ValueError, match="out_type='raw'.* not 'cls_token'"):
        FrozenFeatures(dict(VIT, out_type='cls_token'))
    with pytest.raises(ValueError, match=r'out_indices=-1, .* \[1\]'):
        FrozenFeatures(dict(VIT, out_indices=1))
    with pytest.raises(ValueError, match='it is not trained'):
        FrozenFeatures(COLOUR)(photographs((8, 8)), mode='loss')
    with pytest.raises(ValueError, match='neither patch_size nor patch_embed'):
        patch_size_of(torch.nn.Linear(2, 2))
    with pytest.raises(ValueError, match="'stretch' .* 'pad' .* 'crop' .* or 'long'"):
        FrozenFeatures(COLOUR, fit='cover')
    model = FrozenFeatures(VIT, 32)
    with pytest.raises(ValueError, match='0 to 2 or from -1 to -3 in this backbone, got 3'):
        model.tokens(model.prepare(photographs((8, 8))), [3])


def test_cropped_photographs_are_those_of_the_knn_evaluation(tmp_path):
    model = FrozenFeatures(COLOUR, 224, fit='crop')
    images = photographs((300, 411), (240, 333))
    for i, image in enumerate(images):
        Image.fromarray(image.permute(1, 2, 0).numpy()).save(tmp_path / f'{i}.png')
    files = ImageFiles([str(tmp_path / f'{i}.png') for i in range(2)], 256, 224)
    expected = model.normalise(torch.stack([image for image, _ in files]))
    assert torch.equal(model.prepare(images), expected)
    with pytest.raises(ValueError, match="fit='crop' shows the middle"):
        ImageFrame(300, 411, 224, 'crop').cell(torch.zeros(1, 2), 14, 14)


def test_grids_have_the_shape_of_their_images():
    backbone = FrozenFeatures(VIT, 32).backbone
    images = torch.randn(2, 3, 32, 48)
    cls, grids = layer_tokens(backbone, images)
    tokens = backbone(images)[0]
    assert torch.equal(grids[0], tokens[:, 1:].view(2, 4, 6, 16))
    assert torch.equal(cls[0], tokens[:, 0])


def test_the_digest_follows_the_weights():
    one, same, other = (FrozenFeatures(VIT, 32, seed=seed).backbone for seed in (0, 0, 1))
    assert weights_digest(one) == weights_digest(same) != weights_digest(other)
    with torch.no_grad():
        one.layers[2].ffn.layers[1].bias[3].add_(1e-7)
    assert weights_digest(one) != weights_digest(same)


class Placed(torch.nn.Module):
    """Mean colours of patches of 8 pixels, and a signal that depends on the place alone."""

    patch_size = 8

    def __init__(self, strength):
        super().__init__()
        self.strength = strength

    def signal(self, rows, columns):
        return self.strength * torch.randn(
            rows * columns, 3, generator=torch.Generator().manual_seed(rows)
        )

    def forward(self, images):
        grid = F.avg_pool2d(images, 8)
        tokens = grid.flatten(2).transpose(1, 2) + self.signal(*grid.shape[-2:])
        return (torch.cat([tokens.mean(1, keepdim=True), tokens], 1),)


@pytest.mark.parametrize('size', [(48, 48), (32, 64)])
def test_debiasing_takes_an_injected_positional_signal_away(size):
    inputs = FrozenFeatures(Placed(0)).prepare(photographs((40, 40), (30, 60)))
    inputs = F.interpolate(inputs, size)
    clean = FrozenFeatures(Placed(0)).grid(inputs)
    cells = size[0] // 8, size[1] // 8
    signal = Placed(2).signal(*cells)
    expected = clean + signal.mean(0)  # which all places share, and is no bias of one
    plain = FrozenFeatures(Placed(2)).grid(inputs)
    assert (plain - expected).abs().max() > 1
    torch.testing.assert_close(FrozenFeatures(Placed(2), debias='mean').grid(inputs), expected)
    noise = FrozenFeatures(Placed(2), debias='noise').grid(inputs)
    # The noise of 64 pixels of 16 images, each of deviation 256 / √12 / 57.
    torch.testing.assert_close(noise, expected, atol=5 * 1.3 / 32, rtol=0)


def test_debiasing_leaves_features_without_positions_unchanged():
    inputs = FrozenFeatures(COLOUR).prepare(photographs((40, 40)), 48)
    plain = FrozenFeatures(COLOUR).grid(inputs)
    torch.testing.assert_close(FrozenFeatures(COLOUR, debias='mean').grid(inputs), plain)
    fine = FrozenFeatures(Placed(2), debias='mean').grid(inputs, stride=4)
    assert fine.shape == (1, 12, 12, 3)
    with pytest.raises(ValueError, match="debias must be None, 'mean' or 'noise', got 'sine'"):
        FrozenFeatures(COLOUR, debias='sine')
