import numpy as np
import pytest
import torch
from mmpretrain.registry import MODELS
from torch import nn

from mmc_plugin.datasets.transforms.gmml import GMMLMask
from mmc_plugin.evaluation.reconstruction import (
    corrupt_and_reconstruct,
    draw_corruption,
    training_mask,
)
from mmc_plugin.models.selfsup import StudentTeacher
from mmc_plugin.models.utils import ViewDataPreprocessor

SMALL = dict(
    type='VisionTransformer',
    arch=dict(embed_dims=24, num_layers=1, num_heads=2, feedforward_channels=48),
    img_size=16, patch_size=4, out_type='raw',
)  # fmt: skip


class Darken(nn.Module):
    """A "method" of which layer k makes pixels k grey levels darker."""

    seen = StudentTeacher.seen

    def __init__(self, fill):
        super().__init__()
        self.fill = fill
        self.data_preprocessor = ViewDataPreprocessor([100.0] * 3, [50.0] * 3, to_rgb=True)

    def reconstruct_layers(self, images, layers):
        assert not torch.is_grad_enabled()
        return torch.stack([images - layer / 50 for layer in layers])


def test_masks_and_noise_follow_from_the_seed():
    gmml, alien = GMMLMask(align=8), [False, True, False]
    mask, noise = draw_corruption(gmml, alien, 32, seed=3)
    assert mask.shape == (3, 32, 32) and noise.shape == (3, 3, 32, 32)
    blocks = mask.view(3, 4, 8, 4, 8)
    assert torch.equal(blocks.all(-1).all(2), blocks.any(-1).any(2))  # whole patches
    assert 0.3 <= mask[1].float().mean() < mask[0].float().mean()
    again = draw_corruption(gmml, alien, 32, seed=3)
    assert torch.equal(mask, again[0]) and torch.equal(noise, again[1])
    assert not torch.equal(mask, draw_corruption(gmml, alien, 32, seed=4)[0])


def test_masks_are_those_of_the_pipeline():
    release = dict(type='GMMLMask', noise_ratio=0.5, alien_ratio=0.2, align=1, max_block=0.2)
    for step in (release, GMMLMask(**{k: v for k, v in release.items() if k != 'type'})):
        found = training_mask([dict(type='LoadImage'), step, dict(type='PackViews')], 30, 8)
        assert (found.noise_ratio, found.alien_ratio, found.align) == (0.5, 0.2, 1)
        assert found.max_block == 0.2
    shares = draw_corruption(found, [False, True] * 20, 30, seed=0)[0].float().mean((1, 2))
    # Above the ratio by one block at most.
    assert shares[::2].max() < 0.55 and shares[1::2].max() < 0.25 and shares[1::2].min() > 0.19
    for pipeline in ([], [dict(type='GMMLMask', align=20)]):  # that does not divide 32
        found = training_mask(pipeline, 32, 8)
        assert (found.noise_ratio, found.alien_ratio, found.align) == (0.75, 0.3, 8)


@pytest.mark.parametrize('fill', ['noise', 'zeros'])
def test_corruption_is_shown_as_the_student_sees_it(fill):
    images = torch.randint(20, 230, (3, 3, 16, 16), dtype=torch.uint8)
    alien = torch.tensor([False, True, False])
    mask, noise = draw_corruption(GMMLMask(align=4), alien, 16, seed=0)
    clean, corrupted, made, fillings = corrupt_and_reconstruct(
        Darken(fill), images, mask, alien, noise, [0, 7]
    )
    assert fillings == [fill, 'another image', fill]
    assert np.array_equal(clean, images.permute(0, 2, 3, 1))
    filled = noise if fill == 'noise' else torch.zeros_like(noise)
    expected = (filled * 50 + 100).round().clamp(0, 255).byte()
    expected[1] = images[0]
    expected = torch.where(mask[:, None], expected, images).permute(0, 2, 3, 1).numpy()
    assert np.array_equal(corrupted, expected)
    inner = (corrupted > 10) & (corrupted < 245)
    assert np.array_equal(made[0], corrupted)
    assert np.array_equal(made[1][inner], corrupted[inner] - 7)


@pytest.mark.parametrize('method, fill', [('MMC', 'noise'), ('SiT', 'zeros'), ('MCSSL', 'zeros')])
def test_each_method_is_shown_what_it_trains_on(method, fill):
    head = dict(in_channels=24, hidden_channels=16)
    contrast = dict(type='GlobalContrastHead', out_channels=8, **head)
    heads = dict(
        MMC=dict(patch_head=dict(contrast, type='PatchContrastHead'), cls_head=contrast),
        SiT=dict(cls_head=contrast),
        MCSSL=dict(head=dict(type='PrototypeHead', num_prototypes=8, out_channels=8, **head)),
    )[method]
    torch.manual_seed(0)
    rec_head = dict(type='PixelReconstructionHead', patch_size=4, **head)
    model = MODELS.build(dict(type=method, backbone=SMALL, rec_head=rec_head, **heads)).eval()
    images = torch.randint(0, 256, (3, 3, 16, 16), dtype=torch.uint8)
    alien = torch.zeros(3, dtype=torch.bool)
    mask, noise = draw_corruption(GMMLMask(align=4), alien, 16, seed=0)
    *_, fillings = corrupt_and_reconstruct(model, images, mask, alien, noise)
    assert fillings == [fill] * 3

    # What the student's patch embedding is given, in a picture and in a step.
    given = []
    model.backbone.patch_embed.register_forward_pre_hook(lambda m, args: given.append(args[0]))
    corrupt_and_reconstruct(model, images, mask, alien, noise)
    views = model.data_preprocessor.normalise(images).expand(2, -1, -1, -1, -1)
    inputs = dict(views=views, mask=mask.expand(2, -1, -1, -1), alien=alien.expand(2, -1))
    model.loss(inputs)
    picture, step = given
    hidden = mask[:, None].expand_as(picture)
    for each in (picture, *step.unflatten(0, (2, 3))):
        assert torch.equal(each[~hidden], views[0][~hidden])
        assert (each[hidden] == 0).all() == (fill == 'zeros')
