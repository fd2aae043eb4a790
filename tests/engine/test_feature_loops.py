"""The loops' own arithmetic; tests/tools/test_recognition.py runs them as users do."""

import numpy as np
import pytest
import torch
from PIL import Image

from mmc_plugin.datasets.image_sets import ImageSource
from mmc_plugin.datasets.random_views import RandomViews
from mmc_plugin.engine.feature_loops import VarianceLoop, cut
from mmc_plugin.models.features import FrozenFeatures

ARCH = dict(embed_dims=16, num_layers=2, num_heads=2, feedforward_channels=32)
VIT = dict(type='PretrainedViT', arch=ARCH, img_size=32, patch_size=8, out_type='raw')


class Loader:
    batch_size = 3


@pytest.fixture
def model():
    return FrozenFeatures(VIT, 32, fit='crop')


def test_the_cut_follows_the_patches(model):
    assert cut(model) == dict(resize=37, crop=32, fit='crop')
    assert cut(FrozenFeatures(dict(type='PatchColour', patch_size=14), 224, fit='crop')) == dict(
        resize=256, crop=224, fit='crop'
    )
    assert cut(FrozenFeatures(dict(type='PatchColour', patch_size=12), 224, fit='crop')) == dict(
        resize=261, crop=228, fit='crop'
    )


def test_variances_are_those_of_stored_features(model, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / 'a.png')
    images = ImageSource([str(tmp_path / 'a.png')], [0]).images(**cut(model))
    views = RandomViews(images, 8, 8)
    loop = VarianceLoop.__new__(VarianceLoop)
    loop.dataloader, loop.fp16 = Loader(), False
    seen = []
    handle = model.backbone.register_forward_hook(
        lambda module, args, out: seen.append((args, out))
    )
    found = loop._measure(model, views, views[0])
    handle.remove()
    assert [len(args[0]) for args, _ in seen] == [3, 3, 2] * 2
    crops, noisy = (
        torch.cat([out[-1] for _, out in part]).numpy() for part in (seen[:3], seen[3:])
    )
    assert found['image'] == pytest.approx(crops[:, 0].astype(float).var(0).mean())
    assert found['patch'] == pytest.approx(noisy[:, 1:].astype(float).var(0).mean())
    # What the network saw: the image where no mask is, noise of variance 1 under it.
    sample = views[0]
    inputs = torch.cat([args[0] for args, _ in seen[3:]])
    whole = model.normalise(sample['whole'][None]).expand_as(inputs)
    masks = sample['masks'][:, None].expand_as(inputs)
    assert torch.equal(inputs[~masks], whole[~masks])
    assert inputs[masks].mean().abs() < 0.05 and abs(inputs[masks].var() - 1) < 0.05
    assert torch.equal(
        torch.cat([args[0] for args, _ in seen[:3]]), model.normalise(sample['crops'])
    )
