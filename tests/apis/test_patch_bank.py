import json
import shutil

import cv2
import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from mmc_plugin.apis import PatchBank, PromptSegmenter, embed_folder, find_in_bank, find_in_images
from mmc_plugin.models.features import FrozenFeatures

ARCH = dict(embed_dims=16, num_layers=3, num_heads=2, feedforward_channels=32)
VIT = dict(type='PretrainedViT', arch=ARCH, img_size=32, patch_size=8, out_type='raw')
NAMES = ('a.png', 'b.png', 'c.png', 'deep/d.png', 'deep/e.png')


@pytest.fixture(scope='module')
def model():
    return FrozenFeatures(VIT, 32)


@pytest.fixture(scope='module')
def photos(tmp_path_factory):
    root = tmp_path_factory.mktemp('photos')
    (root / 'deep').mkdir()
    for i, name in enumerate(NAMES):
        pixels = np.random.default_rng(i).integers(0, 256, (32, 32, 3), dtype=np.uint8)
        cv2.imwrite(str(root / name), pixels)
    (root / 'c.png').write_bytes(b'broken')
    return root


def write(model, photos, out, **settings):
    embed_folder(model, photos, out, **{
        **dict(what=('cls', 'patches'), layers=(1, -1), size=32, fit='stretch', shard=2,
               batch_size=2, num_workers=0), **settings,
    })  # fmt: skip
    return out


@pytest.fixture(scope='module')
def folder(model, photos, tmp_path_factory):
    return write(model, photos, tmp_path_factory.mktemp('bank'))


@pytest.mark.parametrize('layer', [1, -1])
def test_rows_are_the_patches_in_the_order_of_the_images(folder, layer):
    bank = PatchBank(folder, layer)
    files = [load_file(folder / f'0000{i}.safetensors')['patches'] for i in range(3)]
    tokens = np.concatenate(files)[:, (1, -1).index(layer)]
    assert bank.names == ['a.png', 'b.png', 'deep/d.png', 'deep/e.png'] and bank.grid == (4, 4)
    rows = tokens.reshape(-1, 16)
    assert len(bank) == len(rows) == 64
    for start, stop in ((0, 64), (0, 1), (15, 17), (30, 50), (63, 99), (31, 32)):
        np.testing.assert_array_equal(bank[start:stop], rows[start:stop])
    np.testing.assert_array_equal(torch.cat([block for _, block in bank.blocks()]), tokens)
    np.testing.assert_array_equal(bank.tokens(1, 3), tokens[1:3])
    assert bank.place(16 * 2 + 4 * 3 + 1) == ('deep/d.png', 3, 1)


def test_nearest_patches_are_those_of_a_loop(folder):
    bank = PatchBank(folder)
    queries = torch.randn(9, 16, generator=torch.Generator().manual_seed(0))
    cosines, found = bank.nearest(queries, 5)
    units = [each.double() / each.double().norm(dim=1, keepdim=True) for each in (queries, bank[:])]
    values, order = (units[0] @ units[1].T).sort(dim=1, descending=True)
    np.testing.assert_array_equal(found, order[:, :5])
    np.testing.assert_allclose(cosines, values[:, :5], atol=1e-6)


def test_a_click_is_found_as_in_the_images_themselves(folder, photos, model, monkeypatch):
    monkeypatch.setattr('mmc_plugin.apis.patch_bank._BLOCK', 4 * 16 * 16)  # of one image
    segmenter = PromptSegmenter(model)
    bank = PatchBank(folder)
    found = find_in_bank(segmenter, photos / 'b.png', (9, 20), bank, top=3)
    paths = [photos / each for each in bank.names]
    expected = find_in_images(segmenter, photos / 'b.png', (9, 20), paths)
    order = sorted(range(4), key=lambda i: -expected[i].cosine)[:3]
    assert [path for path, _ in found] == [paths[i] for i in order]
    assert found[0][0] == photos / 'b.png' and found[0][1].point == (12, 20)
    for (_, match), i in zip(found, order, strict=True):
        assert match.point == expected[i].point and match.mutual == expected[i].mutual
        assert match.cosine == pytest.approx(expected[i].cosine, abs=1e-5)
        np.testing.assert_allclose(match.similarity, expected[i].similarity, atol=1e-5)
    assert len(find_in_bank(segmenter, photos / 'b.png', (9, 20), bank, top=99)) == 4


def test_only_the_network_of_the_bank_searches_it(folder, photos, model):
    bank = PatchBank(folder)
    for other, words in (
        (FrozenFeatures(VIT, 32, seed=1), r'another network \(weights\): search it with'),
        (FrozenFeatures(model.backbone, 32, mean=[0, 0, 0]), r'another network \(mean\)'),
        (FrozenFeatures(model.backbone, 32, fit='pad', debias='mean'), r'\(fit, debias\)'),
    ):
        with pytest.raises(ValueError, match=words):
            find_in_bank(PromptSegmenter(other), photos / 'a.png', (1, 1), bank)


def test_what_is_no_bank_gets_a_sentence(folder, photos, model, tmp_path):
    with pytest.raises(ValueError, match='has no layer 0, but 1, -1'):
        PatchBank(folder, 0)
    with pytest.raises(ValueError, match='between 1 and the 64 patches, got 65'):
        PatchBank(folder).nearest(torch.zeros(1, 16), 65)
    for shape in ((1, 17), (16,)):
        with pytest.raises(ValueError, match=r'must have the shape \(M, 16\), got'):
            PatchBank(folder).nearest(torch.zeros(shape))
    with pytest.raises(ValueError, match='top must be a positive number of images, got -1'):
        find_in_bank(PromptSegmenter(model), photos / 'a.png', (1, 1), PatchBank(folder), -1)
    with pytest.raises(FileNotFoundError, match='manifest.json'):
        PatchBank(photos)
    for i, (settings, words) in enumerate((
        (dict(what=('cls',)), 'holds cls as safetensors: a bank needs patches as safetensors'),
        (dict(kind='npz'), 'holds cls, patches as npz'),
        (dict(fit='crop'), "was written with fit 'crop': a bank needs whole images"),
    )):  # fmt: skip
        with pytest.raises(ValueError, match=words):
            PatchBank(write(model, photos, tmp_path / str(i), **settings))
    # A file of another checkpoint in between.
    mixed = tmp_path / 'mixed'
    shutil.copytree(folder, mixed)
    other = write(FrozenFeatures(VIT, 32, seed=1), photos, tmp_path / 'other')
    shutil.copy(other / '00001.safetensors', mixed)
    with pytest.raises(ValueError, match='00001.safetensors was written with another network'):
        PatchBank(mixed)
    (mixed / '00001.safetensors').write_bytes(b'cut short')
    with pytest.raises(ValueError, match='00001.safetensors cannot be read .* write it again'):
        PatchBank(mixed)
    manifest = json.loads((mixed / 'manifest.json').read_text())
    (mixed / 'manifest.json').write_text(json.dumps({**manifest, 'files': []}))
    with pytest.raises(ValueError, match='holds no image'):
        PatchBank(mixed)
    for text in ('{', '[]', '{"name": "gallery"}', '{"settings": {}, "files": []}'):
        (mixed / 'manifest.json').write_text(text)
        with pytest.raises(ValueError, match='manifest.json is not, or no longer, a manifest'):
            PatchBank(mixed)
