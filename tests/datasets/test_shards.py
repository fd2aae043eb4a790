"""Shards give the samples of the folder that they were made of, and lose nothing."""

import io
import json
import pickle
import shutil
import tarfile
import zlib
from pathlib import Path

import cv2
import fsspec
import numpy as np
import pytest
import torch
from mmengine.config import Config
from torch.utils.data import DataLoader

from mmc_plugin.datasets import BlockShuffledSampler, ImageTree, SeededSampler, ShardedImages
from mmc_plugin.datasets.seeding import SEED_STREAM, SampleKey, hash_stream
from mmc_plugin.datasets.shards import ShardIndex, making, stores
from mmc_plugin.datasets.shards.making import index_shards, verify_shards, write_shards
from mmc_plugin.engine.cli import complete_loader
from mmc_plugin.engine.hooks import ReconstructionPanelHook
from mmc_plugin.engine.training import train, training_config
from mmc_plugin.errors import InputError, RunError
from mmc_plugin.visualization.run_log import read_scalars

VIEW = [dict(type='ViewCrop', size=32), dict(type='ViewFlip'), dict(type='ViewColorJitter')]
PIPELINE = [
    dict(type='LoadImage'),
    dict(type='MultiView', num_views=[1, 1], transforms=[VIEW, VIEW]),
    dict(type='GMMLMask', align=8),
    dict(type='PackViews'),
]


@pytest.fixture(scope='module')
def images(tmp_path_factory) -> Path:
    """Twenty-three JPEGs in nested folders, one name with an accent."""
    root, rng = tmp_path_factory.mktemp('images'), np.random.default_rng(0)
    for number in range(23):
        path = root / f'class{number % 3}' / ('é' if number == 7 else 'deep') / f'{number:02}.jpg'
        path.parent.mkdir(parents=True, exist_ok=True)
        image = cv2.resize(rng.integers(0, 255, (5, 6, 3), dtype=np.uint8), (64, 48))
        cv2.imwrite(str(path), image)
    return root


def quiet(text):
    """Says nothing."""


@pytest.fixture(scope='module')
def shards(images, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp('shards')
    assert write_shards(str(images), str(out), 5000, quiet) == 23
    assert len([*out.glob('*.tar')]) > 4
    return out


def epoch(dataset, sampler, epoch=2, workers=0):
    """What an epoch gives: tensors and relative paths."""
    sampler = sampler(dataset, seed=3)
    sampler.set_epoch(epoch)
    loader = DataLoader(dataset, 5, sampler=sampler, num_workers=workers,
                        collate_fn=lambda batch: batch)  # fmt: skip
    return [
        (
            Path(each['data_samples'].img_path).relative_to(dataset.data_root).as_posix(),
            torch.stack(each['inputs']['views']),
            each['inputs']['mask'],
        )
        for batch in loader
        for each in batch
    ]


def assert_same(found, expected):
    assert [each[0] for each in found] == [each[0] for each in expected]
    for one, other in zip(found, expected, strict=True):
        assert torch.equal(one[1], other[1]) and torch.equal(one[2], other[2])


def test_arrays_of_four_channels_are_images_if_asked_for(tmp_path):
    """As the folder to the bit; for photographs an array beside them is none."""
    rng = np.random.default_rng(0)
    folder, view = tmp_path / 'arrays', [dict(type='ViewCrop', size=32), dict(type='ViewFlip')]
    folder.mkdir()
    for number in range(6):
        np.save(folder / f'{number}.npy', rng.integers(0, 65535, (48, 40, 4), dtype=np.uint16))
    pipeline = [dict(type='LoadImage', in_channels=4),
                dict(type='MultiView', num_views=[1, 1], transforms=[view, view]),
                dict(type='GMMLMask', align=8), dict(type='PackViews')]  # fmt: skip
    out = tmp_path / 'shards'
    assert write_shards(str(folder), str(out), 20000, quiet, channels=4) == 6
    expected = epoch(ImageTree(str(folder), pipeline), SeededSampler)
    assert len({name for name, *_ in expected}) == 6
    assert_same(epoch(ShardedImages(str(out), pipeline), SeededSampler), expected)
    shutil.rmtree(out / 'index')
    assert index_shards(str(out), None, quiet, channels=4) == 6
    assert_same(epoch(ShardedImages(str(out), pipeline), SeededSampler), expected)
    with pytest.raises(FileNotFoundError, match='no image'):
        write_shards(str(folder), str(tmp_path / 'photographs'), 20000, quiet)


def test_what_is_left_out_is_said(images, tmp_path):
    (tmp_path / 'photos').mkdir()
    for path in sorted(path for path in images.rglob('*') if path.is_file())[:2]:
        shutil.copy(path, tmp_path / 'photos')
    (tmp_path / 'photos' / 'empty.png').touch()
    said = []
    write_shards(str(tmp_path / 'photos'), str(tmp_path / 'out'), 10**6, said.append)
    assert said[-2] == 'Left out, since they cannot be read:'
    assert said[-1].endswith('empty.png (the file is empty (zero bytes))')


@pytest.mark.parametrize('workers', [0, 2])
def test_shards_are_the_folder_to_the_bit(images, shards, workers):
    expected = epoch(ImageTree(str(images), PIPELINE), SeededSampler)
    found = epoch(ShardedImages(str(shards), PIPELINE), SeededSampler, workers=workers)
    assert_same(found, expected)
    assert len({name for name, *_ in found}) == 23


def test_so_are_shards_in_a_store(images, shards):
    memory = fsspec.filesystem('memory')
    memory.put(str(shards), '/bucket', recursive=True)
    dataset = ShardedImages('memory://bucket', PIPELINE)
    assert_same(
        epoch(dataset, SeededSampler), epoch(ImageTree(str(images), PIPELINE), SeededSampler)
    )


def test_webdataset_reads_them_in_the_same_order(images, shards):
    """The convention: what precedes the first dot of the name is the key of a sample."""
    names = []
    for path in sorted(shards.glob('*.tar')):
        with tarfile.open(path) as tar:
            names += tar.getnames()
            assert all(tar.extractfile(each).read() == (images / each.name).read_bytes()
                       for each in tar)  # fmt: skip
    assert names == names_of(images)


def names_of(images):
    return sorted(str(path.relative_to(images)) for path in images.rglob('*.jpg'))


@pytest.mark.parametrize('world', [1, 2, 3])
def test_blocks_are_shuffled_and_each_image_comes_once(shards, world, monkeypatch):
    dataset, parts = ShardedImages(str(shards)), []
    monkeypatch.setattr('mmc_plugin.datasets.shards.sampler.BLOCK', 3)
    for rank in range(world):
        monkeypatch.setattr(
            'mmc_plugin.datasets.shards.sampler.get_dist_info', lambda rank=rank: (rank, world)
        )
        sampler = BlockShuffledSampler(dataset, together=2, seed=4)
        sampler.set_epoch(1)
        parts.append(list(sampler))
        assert len(parts[-1]) == len(sampler)
    keys = [key for row in zip(*parts, strict=True) for key in row]
    assert sorted(key.index for key in keys[:23]) == list(range(23))
    assert all(key in keys[:23] for key in keys[23:])  # the first, repeated
    seeds = hash_stream(4, 1, SEED_STREAM, 23)  # those of SeededSampler
    assert all(key.seed == seeds[key.index] for key in keys)
    if world > 1:
        return
    assert [key.index for key in keys] != sorted(key.index for key in keys)
    # The first two blocks: at most two runs of at most three neighbours of one shard.
    starts = {int(each) for each in dataset.index.starts}
    first = sorted(key.index for key in keys[:3])
    assert len(first) == 3 and starts
    left = sampler.pass_over(7)
    assert left == 16 and list(sampler) == keys[7:]
    sampler.set_epoch(2)
    assert list(sampler) != keys


def test_runs_are_read_together(shards):
    """Of two blocks at a time: never more than two shards among neighbours in the order."""
    dataset = ShardedImages(str(shards))
    keys = list(BlockShuffledSampler(dataset, together=1, seed=0))
    shard_of = [dataset.index[key.index].shard for key in keys]
    changes = sum(a != b for a, b in zip(shard_of, shard_of[1:]))
    assert changes == len(dataset.index.shards) - 1  # each shard from one end to the other


def test_an_interrupted_writing_goes_on(images, tmp_path, monkeypatch):
    write, written = making._write_shard, []

    def dies(source, names, path, extensions):
        if len(written) == 2:
            raise KeyboardInterrupt
        written.append(path)
        return write(source, names, path, extensions)

    monkeypatch.setattr(making, '_write_shard', dies)
    with pytest.raises(KeyboardInterrupt):
        write_shards(str(images), str(tmp_path / 'a'), 5000, quiet)
    (tmp_path / 'a' / 'shard-000002.tar.tmp').write_bytes(b'half')
    monkeypatch.setattr(
        making, '_write_shard', lambda *args: written.append(args[2]) or write(*args)
    )
    assert write_shards(str(images), str(tmp_path / 'a'), 5000, quiet) == 23
    assert len(written) == len(set(written)) == len([*(tmp_path / 'a').glob('*.tar')])
    write_shards(str(images), str(tmp_path / 'b'), 5000, quiet)
    names = sorted(path.relative_to(tmp_path / 'b') for path in (tmp_path / 'b').rglob('*.*'))
    assert names == sorted(p.relative_to(tmp_path / 'a') for p in (tmp_path / 'a').rglob('*.*'))
    assert all(
        (tmp_path / 'a' / n).read_bytes() == (tmp_path / 'b' / n).read_bytes() for n in names
    )
    with pytest.raises(InputError, match='was begun with other images or another --shard-size'):
        write_shards(str(images), str(tmp_path / 'a'), 6000, quiet)


@pytest.fixture
def copy(shards, tmp_path) -> Path:
    return Path(shutil.copytree(shards, tmp_path / 'copy'))


def test_a_damaged_member_is_replaced_and_counted(copy):
    whole = ShardedImages(str(copy), PIPELINE)
    entry = whole.index[4]
    path = copy / whole.index.shards[entry.shard]['name']
    with open(path, 'r+b') as file:
        file.seek(entry.offset + entry.size // 2)
        file.write(b'\0\1\2\3')
    dataset = ShardedImages(str(copy), PIPELINE)
    sampler = SeededSampler(dataset, seed=0)
    samples = [dataset[key] for key in sampler]
    skipped = [each['data_samples'].skipped for each in samples]
    assert len(samples) == 23 and sum(map(bool, skipped)) == 1
    ((where, why),) = next(filter(None, skipped))
    assert where == f'{path}: {entry.name}' and 'damaged' in why
    assert verify_shards(str(copy), quiet) == [f'{path.name}: {entry.name} is damaged']


def test_missing_and_short_shards_are_refused(copy):
    path = copy / 'shard-000001.tar'
    size = path.stat().st_size
    with open(path, 'r+b') as file:
        file.truncate(size - 700)
    with pytest.raises(InputError, match=rf'has {size - 700} bytes, not {size} as when'):
        ShardedImages(str(copy))
    assert verify_shards(str(copy), quiet) == [f'{path.name} has {size - 700} bytes, not {size}']
    with open(path, 'r+b') as file:
        file.truncate(size // 2)  # 700 bytes less were only padding
    with pytest.raises(InputError, match=r"shard-000001.tar' is cut short or damaged"):
        index_shards(str(copy), None, quiet)
    path.unlink()
    with pytest.raises(FileNotFoundError, match=r"shard '.*shard-000001.tar' is missing"):
        ShardedImages(str(copy))


def test_a_damaged_index_is_refused(copy, tmp_path):
    with pytest.raises(FileNotFoundError, match='there is no index .*make_shards.py'):
        ShardedImages(str(tmp_path))
    (copy / 'index' / 'crc.npy').write_bytes(b'x')
    with pytest.raises(InputError, match='is not whole: crc.npy cannot be read'):
        ShardedImages(str(copy))
    (copy / 'index' / 'shards.json').write_text('{')
    with pytest.raises(InputError, match='is not whole'):
        ShardedImages(str(copy))


def test_imagenet_by_its_own_tars(images, tmp_path):
    """A tar for each class in one tar, as ILSVRC2012_img_train.tar is."""
    with tarfile.open(
        tmp_path / 'ILSVRC2012_img_train.tar', 'w', format=tarfile.USTAR_FORMAT
    ) as out:
        for folder in sorted(images.iterdir()):
            inner = io.BytesIO()
            with tarfile.open(fileobj=inner, mode='w', format=tarfile.USTAR_FORMAT) as tar:
                for path in sorted(folder.rglob('*.jpg')):
                    tar.add(path, path.name)
            member = tarfile.TarInfo(f'{folder.name}.tar')
            member.size = len(inner.getvalue())
            out.addfile(member, io.BytesIO(inner.getvalue()))
    assert index_shards(str(tmp_path), None, quiet) == 23
    dataset = ShardedImages(str(tmp_path))
    seen = set()
    for number in range(23):
        sample = dataset[number]
        name = Path(sample['img_path']).relative_to(tmp_path)
        (path,) = (images / name.parent).rglob(name.name)
        assert sample['img_bytes'] == path.read_bytes()
        seen.add(path)
    assert len(seen) == 23


def test_a_store_that_fails_is_asked_again(shards, monkeypatch):
    memory = fsspec.filesystem('memory')
    memory.put(str(shards), '/failing', recursive=True)
    dataset = ShardedImages('memory://failing', PIPELINE)
    expected = dataset[3]['inputs']['views'][0].shape
    cat, failures, pauses = type(memory).cat_file, [3], []

    def failing(self, *args, **kwargs):
        if failures[0]:
            failures[0] -= 1
            raise OSError('503 Slow Down')
        return cat(self, *args, **kwargs)

    monkeypatch.setattr(type(memory), 'cat_file', failing)
    monkeypatch.setattr(stores.time, 'sleep', pauses.append)
    assert dataset[3]['inputs']['views'][0].shape == expected
    assert pauses == [0.2, 1.0, 5.0]
    failures[0] = 1000
    with pytest.raises(RunError, match='has not given shard-.* in 5 tries within 31 seconds: 503'):
        dataset[3]


def test_an_unknown_store_is_refused():
    with pytest.raises(InputError, match='data_root what://x cannot be opened'):
        ShardedImages('what://x')


def test_ten_million_entries_take_no_memory(tmp_path):
    """A tenth of them here; tools/benchmarks/shards.py does the whole."""
    number = 1_000_000
    shard = dict(name='a.tar', kind='tar', bytes=3, entries=number)
    folder = tmp_path / 'index'
    making.write_index(str(folder), [shard], ((i, 1, 0, 'x') for i in range(number)))
    (tmp_path / 'a.tar').write_bytes(b'abc')
    dataset = ShardedImages(str(tmp_path))
    assert len(pickle.dumps(dataset)) < 100_000  # what a worker is sent
    assert all(isinstance(each, np.memmap) for each in dataset.index._columns.values())
    assert dataset.index[999_999].offset == 999_999
    keys = iter(BlockShuffledSampler(dataset, seed=0))
    assert 0 <= next(keys).index < number
    assert json.loads((folder / 'shards.json').read_text())['shards'] == [shard]
    assert len(ShardIndex(str(folder))) == number and zlib.crc32(b'') == 0


def test_parquet_of_hugging_face(images, tmp_path):
    pa = pytest.importorskip('pyarrow')
    import pyarrow.parquet as pq

    paths = sorted(images.rglob('*.jpg'))
    rows = [dict(bytes=path.read_bytes(), path=path.name) for path in paths]
    table = pa.table(dict(image=rows, label=[0] * len(rows)))
    pq.write_table(table, tmp_path / 'train-00000.parquet', row_group_size=6)
    assert index_shards(str(tmp_path), None, quiet) == 23
    dataset = ShardedImages(str(tmp_path))
    assert [dataset[i]['img_bytes'] for i in range(23)] == [row['bytes'] for row in rows]
    assert dataset.runs().tolist() == [0, 6, 12, 18, 23]
    dataset = ShardedImages(str(tmp_path), PIPELINE)
    expected = ImageTree(str(images), PIPELINE)
    key = next(iter(SeededSampler(expected, seed=1)))
    one, other = (torch.stack(each[key]['inputs']['views']) for each in (dataset, expected))
    assert torch.equal(one, other)
    pq.write_table(pa.table(dict(a=[1])), tmp_path / 'train-00000.parquet')
    with pytest.raises(InputError, match='has no column image with the bytes of files, but a'):
        index_shards(str(tmp_path), None, quiet)


def test_what_comes_next_is_on_its_way(images, shards, monkeypatch):
    """From a store each image is asked for once, the next batch's before they are needed."""
    fsspec.filesystem('memory').put(str(shards), '/ahead', recursive=True)
    dataset, asked = ShardedImages('memory://ahead', PIPELINE), []
    read = dataset.store.read
    dataset.store.read = lambda *args: asked.append(args) or read(*args)
    sampler = BlockShuffledSampler(dataset, seed=0, ahead=5)
    keys = list(sampler)
    assert [key.ahead for key in keys[:-5]] == [key.index for key in keys[5:]]
    plain = ShardedImages(str(shards), PIPELINE)
    for low in range(0, 23, 5):
        batch = dataset.__getitems__(keys[low : low + 5])
        for key, sample in zip(keys[low : low + 5], batch, strict=True):
            expected = plain[SampleKey(key.index, key.seed)]
            assert torch.equal(sample['inputs']['mask'], expected['inputs']['mask'])
            assert torch.equal(sample['inputs']['views'][1], expected['inputs']['views'][1])
    assert len(asked) == len(set(asked)) == 23


def test_the_tools_set_how_far_to_look_ahead():
    loader = dict(batch_size=6, num_workers=1, sampler=dict(type='BlockShuffledSampler'))
    for root, ahead in {'s3://bucket': 6, '/data': None}.items():
        cfg = Config(dict(train_dataloader=dict(loader, dataset=dict(data_root=root))))
        complete_loader(cfg, 'train_dataloader')
        assert cfg.train_dataloader.sampler.get('ahead') == ahead


def test_the_sampler_refuses():
    with pytest.raises(InputError, match='must be positive and ahead not negative, got 0 and 0'):
        BlockShuffledSampler(range(3), together=0)


def test_a_run_on_shards_has_the_losses_of_the_folder(images, shards, tmp_path):
    config = Path(__file__).parents[1] / 'configs' / 'tiny_mmc.py'
    found = []
    for root, kind in ((images, 'ImageTree'), (shards, 'ShardedImages')):
        settings = [f'train_dataloader.dataset.data_root={root}', 'train_cfg.max_epochs=2',
                    f'train_dataloader.dataset.type={kind}', 'train_dataloader.num_workers=1',
                    'optim_wrapper.precision=fp32']  # fmt: skip
        cfg = training_config(str(config), settings, str(tmp_path / kind))
        complete_loader(cfg, 'train_dataloader')
        train(cfg)
        found.append([each['loss'] for each in read_scalars(str(tmp_path / kind))])
    assert found[0] == found[1] and len(found[0]) == 4


def test_pictures_of_a_run_on_shards_are_of_the_same_images(images, shards):
    hook = ReconstructionPanelHook()
    found, expected = (
        hook._load(dataset, 32) for dataset in (ShardedImages(str(shards)), ImageTree(str(images)))
    )
    assert len(found) == 4 and torch.equal(found, expected)


def test_blocks_in_order(shards, monkeypatch):
    monkeypatch.setattr('mmc_plugin.datasets.shards.sampler.BLOCK', 4)
    keys = list(BlockShuffledSampler(ShardedImages(str(shards)), shuffle=False, seed=0))
    assert [key.index for key in keys] == list(range(23))
