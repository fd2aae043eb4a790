import os
import struct
import zlib

import numpy as np
import pytest
import torch
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from PIL import Image

import mmc_plugin  # noqa: F401  registers the parts
from mmc_plugin.datasets import image_tree
from mmc_plugin.datasets.image_tree import ImageTree, scan_images
from mmc_plugin.datasets.seeding import SampleKey

ROWS = np.random.default_rng(0).integers(0, 255, (40, 50, 3), dtype=np.uint8)


def image(path, mode='RGB', size=(50, 40), **kwargs):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(ROWS).resize(size).convert(mode).save(path, **kwargs)


def cut(path):
    image(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.fixture
def nasty(tmp_path):
    """Each kind of file that a folder of photographs may hold. Returns (root, good, bad)."""
    root = tmp_path / 'photos and more'
    image(root / 'plain.jpg')
    image(root / 'deep' / 'er' / 'est' / 'UPPER.JPEG')
    image(root / 'ünïcode ☃' / 'with space.png')
    image(root / 'cmyk.jpg', 'CMYK')
    image(root / 'grey.jpg', 'L')
    image(root / 'alpha.png', 'RGBA')
    image(root / 'palette.gif', 'P')
    image(root / 'picture.webp')
    image(root / 'one.png', size=(1, 1))
    Image.fromarray((np.arange(2000).reshape(40, 50) * 30).astype(np.uint16)).save(
        root / 'deep.png'
    )
    exif = Image.Exif()
    exif[0x0112] = 6
    image(root / 'turned.jpg', exif=exif)
    good = {
        'plain.jpg', 'deep/er/est/UPPER.JPEG', 'ünïcode ☃/with space.png', 'cmyk.jpg', 'grey.jpg',
        'alpha.png', 'palette.gif', 'picture.webp', 'one.png', 'deep.png', 'turned.jpg',
    }  # fmt: skip

    cut(root / 'cut.jpg')
    cut(root / 'cut.png')
    (root / 'text.jpg').write_text('no image')
    png = bytearray((root / 'one.png').read_bytes())
    png[16:24] = struct.pack('>II', 30000, 20000)  # width and height in the header chunk
    png[29:33] = struct.pack('>I', zlib.crc32(png[12:29]))
    (root / 'huge.png').write_bytes(png)
    bad = {'cut.jpg', 'cut.png', 'text.jpg', 'huge.png'}

    (root / 'zero.png').touch()
    (root / 'notes.txt').write_text('not by its name')
    (root / 'video.mp4').write_text('neither')
    image(root / '.hidden.jpg')
    image(root / '.cache' / 'thumb.jpg')
    (root / 'deep' / 'loop').symlink_to(root, target_is_directory=True)
    (root / 'gone.jpg').symlink_to(tmp_path / 'nowhere.jpg')
    (root / 'self.jpg').symlink_to(root / 'self.jpg')
    os.mkfifo(root / 'pipe.jpg')
    outside = tmp_path / 'elsewhere'
    image(outside / 'linked.jpg')
    (root / 'link').symlink_to(outside, target_is_directory=True)
    (root / 'link again').symlink_to(outside, target_is_directory=True)
    # Two links to one folder: the one whose name sorts first counts.
    return root, good | {'link/linked.jpg'}, bad


def paths(dataset):
    return [
        os.path.relpath(dataset.get_data_info(i)['img_path'], dataset.data_root)
        for i in range(len(dataset))
    ]


def test_scan_finds_each_image_once(nasty):
    root, good, bad = nasty
    dataset = ImageTree(str(root))
    assert paths(dataset) == sorted(good | bad)
    report = dataset.scan_report
    assert report['images'] == len(dataset)
    assert report['other_files'] == 2
    left_out = {os.path.relpath(path, root): why for path, why in report['left_out'].items()}
    assert set(left_out) == {'zero.png', 'gone.jpg', 'self.jpg', 'pipe.jpg'}
    assert 'zero bytes' in left_out['zero.png']
    assert 'No such file' in left_out['gone.jpg']
    assert 'symbolic links' in left_out['self.jpg']
    assert 'not a regular file' in left_out['pipe.jpg']


def loader(root, workers, epoch=0, **dataset):
    view = [dict(type='RandomResizedCrop', scale=16), dict(type='RandomFlip', prob=0.5)]
    pipeline = [
        dict(type='LoadImage'),
        dict(type='MultiView', num_views=[1, 1], transforms=[view, view]),
        dict(type='PackViews'),
    ]
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        result = Runner.build_dataloader(
            dict(
                batch_size=4,
                num_workers=workers,
                persistent_workers=workers > 0,
                sampler=dict(type='SeededSampler'),
                collate_fn=dict(type='default_collate'),
                dataset=dict(type='ImageTree', data_root=str(root), pipeline=pipeline, **dataset),
            ),
            seed=11,
        )
    result.sampler.set_epoch(epoch)
    return result


def flatten(batches):
    """Views of all samples, and what their data samples say."""
    views = torch.cat([torch.stack(b['inputs']['views'], 1) for b in batches])
    said = [(s.sample_idx, s.img_path, s.skipped) for b in batches for s in b['data_samples']]
    return views, said


def test_samples_do_not_depend_on_workers_or_resume(nasty):
    root, _, bad = nasty
    epochs = {}
    for workers in (0, 2):
        data = loader(root, workers)
        for epoch in (0, 1):
            data.sampler.set_epoch(epoch)
            torch.manual_seed(workers)  # must not matter
            epochs[workers, epoch] = flatten(list(data))
    epochs['resumed', 1] = flatten(list(loader(root, 0, epoch=1)))
    for one, other in [((0, 0), (2, 0)), ((0, 1), (2, 1)), ((0, 1), ('resumed', 1))]:
        assert torch.equal(epochs[one][0], epochs[other][0])
        assert epochs[one][1] == epochs[other][1]
    assert not torch.equal(epochs[0, 0][0], epochs[0, 1][0])

    skipped = dict(pair for _, _, pairs in epochs[2, 0][1] for pair in pairs)
    assert {os.path.basename(path) for path in skipped} == bad
    reasons = {os.path.basename(path): reason for path, reason in skipped.items()}
    assert 'truncated' in reasons['cut.jpg'] and 'truncated' in reasons['cut.png']
    assert 'not an image' in reasons['text.jpg']
    assert 'larger than' in reasons['huge.png']
    # Each sample is the image that its path names.
    assert not {os.path.basename(path) for _, path, _ in epochs[2, 0][1]} & bad


def test_two_processes_cover_the_folder(nasty, monkeypatch):
    root, _, bad = nasty
    seen, views = set(), {}
    for rank in range(2):
        monkeypatch.setattr('mmengine.dataset.sampler.get_dist_info', lambda rank=rank: (rank, 2))
        data = loader(root, 0)
        drawn = [key.index for key in data.sampler]
        tensors, said = flatten(list(data))
        seen.update(drawn)
        views.update(zip(drawn, tensors, strict=True))
        assert len(said) == len(data.sampler)
    assert seen == set(range(len(data.dataset)))
    monkeypatch.setattr('mmengine.dataset.sampler.get_dist_info', lambda: (0, 1))
    alone = loader(root, 0)
    order = [key.index for key in alone.sampler]
    tensors, _ = flatten(list(alone))
    for index, tensor in zip(order, tensors, strict=True):
        assert torch.equal(views[index], tensor)


def test_a_key_gives_the_same_sample_after_any_other(nasty):
    root = nasty[0]
    dataset = loader(root, 0).dataset
    key = SampleKey(3, 12345)
    first = dataset[key]['inputs']['views'][0]
    dataset[0]
    assert torch.equal(dataset[key]['inputs']['views'][0], first)
    assert dataset[0]['data_samples'].sample_idx == 0


def test_empty_files_are_among_those_that_tools_list(tmp_path):
    image(tmp_path / 'b.jpg')
    for name in ('a.png', 'note.txt'):
        (tmp_path / name).touch()
    (tmp_path / 'c.png').symlink_to('gone.png')
    assert scan_images(str(tmp_path)) == ['a.png', 'b.jpg', 'c.png']
    (tmp_path / 'b.jpg').unlink()
    assert scan_images(str(tmp_path)) == []


def test_a_scan_says_what_it_left_out_and_nothing_of_none(tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr(image_tree, 'print_log', lambda words, **_: said.append(words))
    image(tmp_path / 'b.jpg')
    ImageTree(str(tmp_path))
    (tmp_path / 'a.png').touch()
    ImageTree(str(tmp_path))
    for name in ('note.txt', 'other.txt'):
        (tmp_path / name).touch()
    ImageTree(str(tmp_path))
    assert [each.partition(': ')[2] for each in said] == [
        '1 image.',
        '1 image; left out 1 empty or broken file.',
        '1 image; left out 1 empty or broken file and 2 other files.',
    ]


def test_wrong_roots(tmp_path):
    with pytest.raises(FileNotFoundError, match="data_root: '.*gone' does not exist; set"):
        ImageTree(str(tmp_path / 'gone'))
    (tmp_path / 'file').touch()
    with pytest.raises(FileNotFoundError, match='is not a folder'):
        ImageTree(str(tmp_path / 'file'))
    with pytest.raises(FileNotFoundError, match="data_root: '' does not exist"):
        ImageTree('')
    (tmp_path / 'empty').mkdir()
    with pytest.raises(FileNotFoundError, match=r'no image in .*looked for \.jpg, .*set data_root'):
        ImageTree(str(tmp_path / 'empty'))


def test_no_readable_image(tmp_path):
    for index in range(5):
        (tmp_path / f'{index}.jpg').write_text('no image')
    with pytest.raises(RuntimeError, match=r'none of the 5 images .*first is .*0\.jpg.*not an im'):
        ImageTree(str(tmp_path))
    image(tmp_path / '9.jpg')
    assert len(ImageTree(str(tmp_path))) == 6


def test_the_search_for_a_readable_image_ends(tmp_path):
    for index in range(1003):
        (tmp_path / f'{index}.jpg').write_text('no image')
    with pytest.raises(RuntimeError, match='none of the 1001 images tried of 1003'):
        ImageTree(str(tmp_path))


def test_folder_that_vanishes_during_training(tmp_path):
    image(tmp_path / 'a.jpg')
    dataset = loader(tmp_path, 0).dataset
    dataset.max_refetch = 3
    (tmp_path / 'a.jpg').unlink()
    with pytest.raises(RuntimeError, match='^4 images drawn .*a.jpg.*No such file.*still there'):
        dataset[SampleKey(0, 1)]


def test_other_errors_are_not_swallowed(tmp_path):
    image(tmp_path / 'a.jpg')

    def fails(results):
        raise KeyError('a bug in the pipeline')

    with pytest.raises(KeyError, match='a bug'):
        ImageTree(str(tmp_path), pipeline=[fails])[0]


def test_names_that_are_not_utf8(tmp_path):
    image(tmp_path / 'a.jpg')
    expected = loader(tmp_path, 0).dataset[SampleKey(0, 5)]['inputs']['views']
    name = os.fsencode(tmp_path) + b'/\xff.jpg'
    try:
        os.rename(tmp_path / 'a.jpg', name)
    except OSError:
        pytest.skip('the file system takes UTF-8 names only')
    found = loader(tmp_path, 0).dataset[SampleKey(0, 5)]['inputs']['views']
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
