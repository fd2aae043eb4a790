import json
import sys

import cv2
import numpy as np
import pytest
import torch

from mmc_plugin.apis import embed_folder, embeddings, extract_features, read_embeddings
from mmc_plugin.models.features import FrozenFeatures

ARCH = dict(embed_dims=16, num_layers=3, num_heads=2, feedforward_channels=32)
VIT = dict(type='PretrainedViT', arch=ARCH, img_size=32, patch_size=8, out_type='raw')
SETTINGS = dict(what=('cls', 'patches', 'mean'), layers=(1, -1), size=32, fit='stretch', shard=2,
                batch_size=2, num_workers=0)  # fmt: skip


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / 'photos'
    (root / 'deep').mkdir(parents=True)
    for i, name in enumerate(('a.png', 'b.png', 'deep/c.png', 'deep/d.png', 'e.png')):
        pixels = np.random.default_rng(i).integers(0, 256, (40, 30 + i, 3), dtype=np.uint8)
        cv2.imwrite(str(root / name), pixels)
    (root / 'b.png').write_bytes(b'broken')
    return root


def collect(out):
    names, rows = [], {}
    for its_names, arrays in read_embeddings(out):
        names += its_names
        for key, value in arrays.items():
            rows.setdefault(key, []).append(value)
    return names, {key: np.concatenate(each) for key, each in rows.items()}


@pytest.mark.parametrize('kind', ['safetensors', 'npz'])
def test_files_hold_what_the_network_gives(folder, tmp_path, kind):
    (folder / 'f.png').touch()
    model = FrozenFeatures(VIT, 32)
    manifest = embed_folder(model, folder, tmp_path / 'out', kind=kind, **SETTINGS)
    names, found = collect(tmp_path / 'out')
    assert names == ['a.png', 'deep/c.png', 'deep/d.png', 'e.png']
    assert [each['unreadable'] for each in manifest['files']] == [['b.png'], [], ['f.png']]
    cls, patches = extract_features(model, [str(folder / each) for each in names], (1, -1), 32)
    # The files' pixels are rounded to whole numbers.
    np.testing.assert_allclose(found['cls'], cls.transpose(0, 1), atol=0.02)
    np.testing.assert_allclose(found['patches'], patches.transpose(0, 1), atol=0.05)
    np.testing.assert_allclose(found['mean'], found['patches'].mean((2, 3)), atol=1e-5)
    half = embed_folder(model, folder, tmp_path / 'half', kind=kind, half=True, **SETTINGS)
    assert half['settings']['half'] and collect(tmp_path / 'half')[1]['cls'].dtype == np.float16


@pytest.mark.parametrize('half', [False, True])
def test_parquet_has_the_rows_of_npz(folder, tmp_path, half):
    pq = pytest.importorskip('pyarrow.parquet')
    model = FrozenFeatures(VIT, 32)
    for kind in ('npz', 'parquet'):
        embed_folder(model, folder, tmp_path / kind, kind=kind, half=half, **SETTINGS)
    (names, found), (its_names, its_rows) = (
        collect(tmp_path / each) for each in ('parquet', 'npz')
    )
    assert names == its_names and list(found) == list(its_rows)
    for key, value in its_rows.items():
        assert found[key].dtype == value.dtype
        np.testing.assert_array_equal(found[key], value)
    # Another reader, which knows nothing of tensors, sees flat lists.
    table = pq.read_table(tmp_path / 'parquet' / '00001.parquet')
    assert table['name'].to_pylist() == names[1:3]
    rows = table['patches'].combine_chunks().storage.to_pylist()
    np.testing.assert_array_equal(np.array(rows), its_rows['patches'][1:3].reshape(2, -1))
    with open(folder / 'a.png', 'rb') as file:
        content = file.read()
    with open(bytes(folder) + b'/\xff.png', 'wb') as file:
        file.write(content)
    with pytest.raises(ValueError, match=r"'\\udcff.png' is not UTF-8, .* rename the file"):
        embed_folder(model, folder, tmp_path / 'x', kind='parquet', **SETTINGS)


@pytest.mark.parametrize('kind', ['safetensors', 'npz', 'parquet'])
def test_a_damaged_file_gets_a_sentence(folder, tmp_path, kind):
    if kind == 'parquet':
        pytest.importorskip('pyarrow')
    embed_folder(FrozenFeatures(VIT, 32), folder, tmp_path / 'out', kind=kind, **SETTINGS)
    path = tmp_path / 'out' / f'00001.{kind}'
    for content in (b'', path.read_bytes()[:200]):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=f'00001.{kind} is damaged .* write it again'):
            collect(tmp_path / 'out')
    path.unlink()
    with pytest.raises(FileNotFoundError):
        collect(tmp_path / 'out')


def test_parquet_without_pyarrow(folder, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, 'pyarrow', None)
    with pytest.raises(ImportError, match='parquet files need pyarrow: pip install pyarrow'):
        embed_folder(FrozenFeatures(VIT, 32), folder, tmp_path / 'x', kind='parquet', **SETTINGS)
    assert not (tmp_path / 'x').exists()


@pytest.mark.parametrize('kind', ['safetensors', 'parquet'])
def test_a_killed_run_goes_on(folder, tmp_path, monkeypatch, kind):
    if kind == 'parquet':
        pytest.importorskip('pyarrow')
    settings = dict(SETTINGS, kind=kind)
    model, out = FrozenFeatures(VIT, 32), tmp_path / 'out'
    embed_folder(model, folder, tmp_path / 'whole', **settings)
    encode, seen = embeddings._encode, []

    def killed(model, files, *rest):
        seen.append(len(files))
        if len(seen) == 2:
            raise KeyboardInterrupt
        return encode(model, files, *rest)

    monkeypatch.setattr(embeddings, '_encode', killed)
    with pytest.raises(KeyboardInterrupt):
        embed_folder(model, folder, out, **settings)
    assert len(json.loads((out / 'manifest.json').read_text())['files']) == 1
    embed_folder(model, folder, out, **settings)
    assert seen == [2, 2, 2, 1]  # the first file was not made again
    for name in ('00000', '00001', '00002'):
        whole = (tmp_path / 'whole' / f'{name}.{kind}').read_bytes()
        assert (out / f'{name}.{kind}').read_bytes() == whole
    embed_folder(model, folder, out, **settings)
    assert len(seen) == 4


def test_wrong_input_gets_a_sentence(folder, tmp_path):
    model, out = FrozenFeatures(VIT, 32), tmp_path / 'out'
    embed_folder(model, folder, out, **SETTINGS)
    with pytest.raises(ValueError, match=r'holds features with other settings \(layers, half\)'):
        embed_folder(model, folder, out, **{**SETTINGS, 'layers': (-1,), 'half': True})
    other = FrozenFeatures(VIT, 32, seed=1)
    with pytest.raises(ValueError, match=r'other settings \(weights_sha256\)'):
        embed_folder(other, folder, out, **SETTINGS)
    for options, words in (
        (dict(what=('cls', 'keys')), 'what must be some of cls, patches, mean, got cls, keys'),
        (dict(fit='long'), "fit must be 'crop'"),
        (dict(kind='csv'), "must be one of safetensors, npz, parquet, got 'csv'"),
        (dict(shard=0), 'shard must be a positive number'),
        (
            dict(batch_size=0),
            'batch_size must be positive and num_workers not negative, got 0 and 0',
        ),
        (dict(num_workers=-1), 'num_workers not negative, got 2 and -1'),
    ):
        with pytest.raises(ValueError, match=words):
            embed_folder(model, folder, tmp_path / 'x', **{**SETTINGS, **options})
    for key, value in (('debias', 'noise'), ('stride', 4)):
        with pytest.raises(ValueError, match=f'model.{key} is for maps of patches'):
            embed_folder(FrozenFeatures(VIT, 32, **{key: value}), folder, tmp_path / 'x')
    (tmp_path / 'empty').mkdir()
    with pytest.raises(ValueError, match='no image in'):
        embed_folder(model, tmp_path / 'empty', tmp_path / 'x', **SETTINGS)
    with pytest.raises(FileNotFoundError, match='does not exist'):
        embed_folder(model, tmp_path / 'gone', tmp_path / 'x', **SETTINGS)
    with pytest.raises(FileNotFoundError, match='is a file: name one that holds images'):
        embed_folder(model, folder / 'a.png', tmp_path / 'x', **SETTINGS)
    (out / 'manifest.json').write_text('{"settings"')
    with pytest.raises(ValueError, match='is not, or no longer, a manifest of tools/embed.py'):
        embed_folder(model, folder, out, **SETTINGS)
    with pytest.raises(FileNotFoundError, match='manifest.json'):
        next(read_embeddings(tmp_path / 'empty'))
    assert torch.is_grad_enabled()
