import cv2
import numpy as np
import pytest
from PIL import Image

from mmc_plugin.datasets.palette_prompts import DavisFramePrompts, VocPrompts
from mmc_plugin.datasets.prompt_dataset import UnusableMasksError

PIPELINE = [dict(type='LoadImage'), dict(type='DrawPrompts'), dict(type='PackPrompts')]


def palette(path, values):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(values.astype(np.uint8), 'P')
    image.putpalette(list(range(256)) * 3)
    image.save(path)


def photograph(path, height=20, width=30):
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.zeros((height, width, 3), np.uint8))


@pytest.fixture
def voc(tmp_path):
    classes = np.zeros((20, 30))
    classes[2:12, 2:12], classes[2:12, 12:20], classes[15:] = 15, 15, 8
    objects = np.zeros((20, 30))
    objects[2:12, 2:12], objects[2:12, 12:20], objects[15:] = 1, 2, 3
    for mask in (classes, objects):
        mask[:, 20] = 255
    palette(tmp_path / 'SegmentationClass' / 'a.png', classes)
    palette(tmp_path / 'SegmentationObject' / 'a.png', objects)
    photograph(tmp_path / 'JPEGImages' / 'a.jpg')
    names = tmp_path / 'ImageSets' / 'Segmentation' / 'val.txt'
    names.parent.mkdir(parents=True)
    names.write_text('a\n\n')
    return tmp_path, classes, objects


def test_voc_has_categories_instances_and_void(voc):
    root, classes, objects = voc
    dataset = VocPrompts(str(root), PIPELINE)
    found = dataset.load_targets(dataset.get_data_info(0))
    assert [dataset.categories[label] for label in found.labels] == ['cat', 'person']
    assert np.array_equal(found.masks, [classes == 8, classes == 15])
    assert np.array_equal(found.ignore, classes == 255)
    dataset = VocPrompts(str(root), PIPELINE, by='instance')
    found = dataset.load_targets(dataset.get_data_info(0))
    assert np.array_equal(found.masks, [objects == k for k in (1, 2, 3)])
    assert [dataset.categories[label] for label in found.labels] == ['person', 'person', 'cat']
    assert dataset[0]['data_samples'].points.shape == (3, 5, 2)


def test_broken_voc_masks_are_skipped_and_lists_are_named(voc):
    root = voc[0]
    path = root / 'SegmentationClass' / 'a.png'
    good = path.read_bytes()
    for broken, words in (
        (b'\x89PNG nothing', 'cannot be read'),
        (good[:60], 'cannot be read'),
        (None, 'cannot be read'),
    ):
        path.unlink() if broken is None else path.write_bytes(broken)
        assert words in VocPrompts(str(root), PIPELINE)[0]['data_samples'].skipped[1]
    photograph(path)
    assert 'has colours' in VocPrompts(str(root), PIPELINE)[0]['data_samples'].skipped[1]
    with pytest.raises(FileNotFoundError, match='list .*train.txt.* does not exist'):
        VocPrompts(str(root), split='train')


@pytest.fixture
def davis(tmp_path):
    for name, objects in (('cow', 2), ('bus', 1)):
        for frame in range(5):
            values = np.zeros((20, 30))
            for k in range(objects):
                values[4:12, 3 + 10 * k + frame : 9 + 10 * k + frame] = k + 1
            if (name, frame) == ('bus', 4):
                values[:] = 0
            palette(tmp_path / 'Annotations' / '480p' / name / f'{frame:05}.png', values)
            photograph(tmp_path / 'JPEGImages' / '480p' / name / f'{frame:05}.jpg')
    names = tmp_path / 'ImageSets' / '2017' / 'val.txt'
    names.parent.mkdir(parents=True)
    names.write_text('cow\nbus\n')
    return tmp_path


def test_davis_objects_are_categories_of_their_sequence(davis):
    dataset = DavisFramePrompts(str(davis), PIPELINE, interval=2)
    assert dataset.categories == ['cow/1', 'cow/2', 'bus/1'] and len(dataset) == 6
    found = dataset.load_targets(dataset.get_data_info(1))  # the third frame of cow
    assert found.labels == [0, 1] and found.masks[1, 4, 15] and not found.masks[1, 4, 14]
    assert dataset.load_targets(dataset.get_data_info(3)).labels == [2]
    with pytest.raises(UnusableMasksError, match='no mask'):
        dataset.load_targets(dataset.get_data_info(5))
    assert dataset[5]['data_samples'].skipped[1] == 'it has no mask'
    keys = {dataset.get_data_info(i)['image_key'] for i in range(6)}
    assert len(keys) == 6


def test_davis_says_what_is_missing(davis):
    with pytest.raises(ValueError, match='interval'):
        DavisFramePrompts(str(davis), interval=0)
    (davis / 'ImageSets' / '2017' / 'val.txt').write_text('cow\nfox\n')
    with pytest.raises(FileNotFoundError, match='fox of the split val has no folder'):
        DavisFramePrompts(str(davis))


def test_real_frames(data_root):
    dataset = DavisFramePrompts(str(data_root / 'davis2017'), PIPELINE, interval=40)
    assert dataset.categories == ['blackswan/1', 'car-shadow/1', 'libby/1']
    sample = dataset[0]['data_samples']
    assert sample.skipped is None and sample.masks.shape == (1, 480, 854)
