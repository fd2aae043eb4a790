import numpy as np
import pytest
import scipy.io
from mmengine.registry import init_default_scope
from PIL import Image

import mmc_plugin  # noqa: F401  registers
from mmc_plugin.datasets.image_sets import (
    ClassFolders,
    ImageSets,
    ImageSource,
    UnlabelledFolder,
)
from mmc_plugin.datasets.imagenet100 import imagenet100_wnids


@pytest.fixture(autouse=True)
def scope():
    init_default_scope('mmpretrain')


def save(path, seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (9, 11, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def pets(root):
    (root / 'annotations').mkdir(parents=True)
    for split in ('trainval', 'test'):
        lines = []
        for i, name in enumerate(('Abyssinian', 'beagle')):
            for k in range(3):
                save(root / 'images' / f'{name}_{split}{k}.jpg', seed=i + k)
                lines.append(f'{name}_{split}{k} {i + 1} {i + 1} 1')
        (root / 'annotations' / f'{split}.txt').write_text('\n'.join(lines) + '\n')
    return root


def flowers(root):
    for i in range(1, 9):
        save(root / 'jpg' / f'image_{i:05d}.jpg', seed=i)
    labels = np.array([[1, 2, 1, 2, 1, 2, 1, 2]], np.uint8)
    scipy.io.savemat(root / 'imagelabels.mat', dict(labels=labels))
    ids = {
        name: np.array([each], np.uint16)
        for name, each in dict(trnid=[1, 2], valid=[3, 4], tstid=[5, 6, 7, 8]).items()
    }
    scipy.io.savemat(root / 'setid.mat', ids)
    return root


def test_sets_of_folders_have_common_labels(tmp_path):
    for name in ('train/b', 'train/c', 'val/a', 'val/b'):
        save(tmp_path / name / '1.png')
    sets = {
        name: dict(type='ClassFolders', data_root=str(tmp_path / name)) for name in ('train', 'val')
    }
    dataset = ImageSets(sets)
    train, val = dataset.sets.values()
    assert train.classes == val.classes == ['b', 'c', 'a']
    assert (train.labels, val.labels, len(dataset)) == ([0, 1], [2, 0], 4)
    assert dataset.metainfo['sets'] is dataset.sets


def test_some_classes_and_some_images_only(tmp_path):
    wnids = imagenet100_wnids()
    assert len(set(wnids)) == 100
    for name in [*wnids, 'n00000000']:
        save(tmp_path / name / '1.png')
        save(tmp_path / name / '2.png')
    source = ClassFolders(str(tmp_path), 'imagenet100')
    assert len(source) == 200 and source.classes == wnids
    assert all(wnids[label] in path for path, label in zip(source.paths, source.labels))
    few = ClassFolders(str(tmp_path), ['n00000000', wnids[3]], max_images=3)
    assert len(few) == 3 and set(few.labels) == {0, 1}
    with pytest.raises(ValueError, match='lacks 1 of the 2 classes .*: gone'):
        ClassFolders(str(tmp_path), ['gone', wnids[0]])
    with pytest.raises(ValueError, match="must be 'imagenet100' or a list"):
        ClassFolders(str(tmp_path), 'imagenet')
    with pytest.raises(ValueError, match='max_images must be positive'):
        ClassFolders(str(tmp_path), max_images=0)


def test_data_sets_of_mmpretrain(tmp_path):
    root = str(pets(tmp_path / 'pets'))
    config = dict(type='OxfordIIITPet', data_root=root, split='trainval')
    (source,) = ImageSets(dict(test=config)).sets.values()
    assert len(source) == 6 and source.labels == [0, 0, 0, 1, 1, 1]
    assert source.images(9, 8)[0][0].shape == (3, 8, 8) and len(source.classes) == 37
    (few,) = ImageSets(dict(test=dict(config, max_images=2))).sets.values()
    assert few.labels == [0, 1]
    root = str(flowers(tmp_path / 'flowers'))
    sets = {
        split: dict(type='Flowers102', data_root=root, split=split)
        for split in ('trainval', 'test')
    }
    trainval, test = ImageSets(sets).sets.values()
    assert (trainval.labels, test.labels) == ([0, 1, 0, 1], [0, 1, 0, 1])
    assert test.paths[0].endswith('jpg/image_00005.jpg')


def test_images_that_are_named_and_absent_are_left_out(tmp_path):
    root = pets(tmp_path)
    config = dict(type='OxfordIIITPet', data_root=str(root), split='test')
    (root / 'images' / 'beagle_test1.jpg').unlink()
    (source,) = ImageSets(dict(test=config)).sets.values()
    assert len(source) == 5 and source.absent == [str(root / 'images' / 'beagle_test1.jpg')]
    for path in (root / 'images').iterdir():
        path.unlink()
    with pytest.raises(FileNotFoundError, match='not where they should be: there is no'):
        ImageSets(dict(test=config))


def test_what_cannot_be_read_gets_a_sentence(tmp_path):
    config = dict(type='OxfordIIITPet', data_root=str(tmp_path / 'gone'), split='test')
    with pytest.raises(FileNotFoundError, match='of OxfordIIITPet does not exist; set'):
        ImageSets(dict(test=config))
    root = pets(tmp_path / 'pets')
    (root / 'annotations' / 'test.txt').write_text('only_a_name\n')
    with pytest.raises(ValueError, match='OxfordIIITPet in .* cannot be read'):
        ImageSets(dict(test=dict(config, data_root=str(root))))
    root = flowers(tmp_path / 'flowers')
    (root / 'setid.mat').write_bytes(b'no file of Matlab')
    with pytest.raises(ValueError, match='Flowers102 in .* cannot be read'):
        ImageSets(dict(test=dict(type='Flowers102', data_root=str(root), split='test')))


def test_boxes_are_cut_first(tmp_path):
    path = save(tmp_path / 'a.png')
    source = ImageSource([str(path)] * 2, [0, 0], boxes=[(2, 1, 8, 6), None])
    images = source.images(0, 100, 'long')
    pixels = np.array(Image.open(path))
    assert (images[0][0].permute(1, 2, 0).numpy() == pixels[1:6, 2:8]).all()
    assert images[1][0].shape == (3, 9, 11)
    assert (
        images.fingerprint()
        != ImageSource([str(path)] * 2, [0, 0]).images(0, 100, 'long').fingerprint()
    )


def test_a_folder_of_any_nesting(tmp_path):
    for name in ('a.png', 'b/c/d.png', 'b/e.png'):
        save(tmp_path / name)
    source = UnlabelledFolder(str(tmp_path))
    assert [path[len(str(tmp_path)) + 1 :] for path in source.paths] == [
        'a.png',
        'b/c/d.png',
        'b/e.png',
    ]
    assert source.labels == [0, 0, 0] and len(UnlabelledFolder(str(tmp_path), 2)) == 2
    with pytest.raises(FileNotFoundError, match="there is no folder .*gone' with images"):
        UnlabelledFolder(str(tmp_path / 'gone'))
