import json

import cv2
import numpy as np
import pytest
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from mmc_plugin.datasets.coco_prompts import CocoPrompts, decode_segmentation
from mmc_plugin.datasets.prompt_dataset import UnusableMasksError

H, W = 24, 32
SQUARE = [[4, 4, 14, 4, 14, 14, 4, 14]]


def runs(mask, text):
    """Run lengths of a mask, as text or as numbers."""
    if text:
        encoded = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
        return dict(size=[H, W], counts=encoded['counts'].decode())
    flat = mask.flatten(order='F').astype(int)
    change = np.flatnonzero(np.diff(np.concatenate([[0], flat])))
    counts = np.diff(np.concatenate([[0], change, [H * W]]))
    return dict(size=[H, W], counts=counts.tolist())


def blob(seed=0):
    return np.random.default_rng(seed).random((H, W)) < 0.3


def write(root, annotations, images=None, categories=('cat', 'dog', 'owl')):
    images = images or [dict(id=5, file_name='5.png', height=H, width=W)]
    for number, each in enumerate(annotations):
        each.setdefault('id', 100 + number)
        each.setdefault('image_id', 5)
    (root / 'annotations').mkdir(exist_ok=True)
    (root / 'val2017').mkdir(exist_ok=True)
    for image in images:
        cv2.imwrite(str(root / 'val2017' / image['file_name']), np.zeros((H, W, 3), np.uint8))
    content = dict(
        images=images,
        annotations=annotations,
        categories=[
            dict(id=10 * (number + 1), name=name) for number, name in enumerate(categories)
        ],
    )
    (root / 'annotations' / 'instances_val2017.json').write_text(json.dumps(content))


def load(root, index=0, **keys):
    dataset = CocoPrompts(str(root), **keys)
    return dataset, dataset.load_targets(dataset.get_data_info(index))


@pytest.mark.parametrize('text', [True, False])
def test_run_lengths_come_back(text):
    mask = blob()
    assert np.array_equal(decode_segmentation(runs(mask, text), H, W), mask)


def test_categories_are_unions_of_polygons_and_run_lengths_without_crowds(tmp_path):
    a, b, crowd = blob(1), blob(2), np.zeros((H, W), bool)
    crowd[:, 20:] = True
    write(
        tmp_path,
        [
            dict(category_id=20, segmentation=SQUARE),
            dict(category_id=20, segmentation=runs(a, True)),
            dict(category_id=30, segmentation=runs(b, False)),
            dict(category_id=10, segmentation=runs(crowd, False), iscrowd=1),
        ],
    )
    dataset, found = load(tmp_path)
    square = decode_segmentation(SQUARE, H, W)
    assert np.array_equal(found.masks, [(square | a) & ~crowd, b & ~crowd])
    assert np.array_equal(found.ignore, crowd)
    assert found.labels == [1, 2] and found.keys == [20, 30]
    assert dataset.categories == ['cat', 'dog', 'owl'] == dataset.metainfo['categories']
    _, each = load(tmp_path, by='instance')
    assert np.array_equal(each.masks, np.stack([square, a, b]) & ~crowd)
    assert each.labels == [1, 1, 2] and each.keys == [100, 101, 102]


@pytest.mark.parametrize(
    'segmentation, words',
    [
        ([], 'no polygon'),
        ([[1, 2, 3, 4]], 'no polygon'),
        (None, 'neither polygons nor'),
        (dict(size=[W, H], counts=[H * W]), 'has the size'),
        (dict(size=[H, W], counts=[3, 4]), 'make 7 pixels'),
        ([['a'] * 6], 'its polygon has a corner'),
        ([[1, 2, 1e9, 4, 5, 6]], 'its polygon has'),
        ([[1, 2, float('nan'), 4, 5, 6]], 'its polygon has'),
        ([[1, 2, float('inf'), 4, 5, 6]], 'its polygon has'),
        (dict(size=None, counts=[3]), 'has the size'),
        (dict(size=[H, W], counts=['a']), 'run lengths'),
        (dict(size=[H, W], counts=7), 'cannot be decoded'),
    ],
)
def test_annotations_that_cannot_be_used_are_left_out_and_named(tmp_path, segmentation, words):
    with pytest.raises(UnusableMasksError, match=words):
        decode_segmentation(segmentation, H, W)
    write(
        tmp_path,
        [
            dict(category_id=10, segmentation=segmentation, id=77),
            dict(category_id=20, segmentation=SQUARE),
        ],
    )
    _, found = load(tmp_path)
    assert found.labels == [1] and len(found.left_out) == 1
    assert found.left_out[0].startswith('annotation 77: ') and words.split()[0] in found.left_out[0]


def test_images_without_targets_are_left_out_and_counted(tmp_path):
    images = [dict(id=i, file_name=f'{i}.png', height=H, width=W) for i in (5, 6, 7)]
    write(
        tmp_path,
        [
            dict(category_id=10, segmentation=runs(blob(), False), iscrowd=1, image_id=6),
            dict(category_id=20, segmentation=SQUARE, image_id=7),
        ],
        images,
    )
    dataset = CocoPrompts(str(tmp_path))
    assert [dataset.get_data_info(i)['image_key'] for i in range(len(dataset))] == [7]
    assert dataset.scan_report == dict(
        images=1, left_out={'without annotations': 1, 'with crowds only': 1}
    )
    with pytest.raises(ValueError, match='1 with crowds only, 2 without annotations'):
        write(tmp_path, [dict(category_id=10, segmentation=runs(blob(), False), iscrowd=1)], images)
        CocoPrompts(str(tmp_path))


def test_images_and_masks_that_cannot_be_used_become_skipped_samples(tmp_path):
    images = [dict(id=i, file_name=f'{i}.png', height=H, width=W) for i in (1, 2, 3)]
    full = np.ones((H, W), bool)
    write(
        tmp_path,
        [
            dict(category_id=10, segmentation=SQUARE, image_id=1),
            dict(category_id=10, segmentation=SQUARE, image_id=2),
            dict(category_id=10, segmentation=runs(full, True), iscrowd=1, image_id=2),
            dict(category_id=10, segmentation=SQUARE, image_id=3),
        ],
        images,
    )
    (tmp_path / 'val2017' / '1.png').write_bytes(b'no image')
    cv2.imwrite(str(tmp_path / 'val2017' / '3.png'), np.zeros((W, H, 3), np.uint8))
    pipeline = [dict(type='LoadImage'), dict(type='DrawPrompts'), dict(type='PackPrompts')]
    dataset = CocoPrompts(str(tmp_path), pipeline)
    reasons = [dataset[i]['data_samples'].skipped[1] for i in range(3)]
    assert 'not an image' in reasons[0]
    assert 'no pixel of its mask counts' in reasons[1]
    assert reasons[2] == f'it has {H}×{W} pixels, its masks are for {W}×{H}'


def test_wrong_places_and_keys_get_a_sentence(tmp_path):
    with pytest.raises(FileNotFoundError, match='does not exist; set test_dataloader'):
        CocoPrompts(str(tmp_path / 'no'))
    with pytest.raises(FileNotFoundError, match='annotations .* do not exist'):
        CocoPrompts(str(tmp_path))
    write(tmp_path, [dict(category_id=10, segmentation=SQUARE)])
    (tmp_path / 'val2017' / '5.png').unlink()
    with pytest.raises(FileNotFoundError, match='not where they should be: there is no .*5.png'):
        CocoPrompts(str(tmp_path))
    for keys, words in (
        (dict(by='object'), "'category' or 'instance'"),
        (dict(max_images=0), 'must be positive'),
    ):
        with pytest.raises(ValueError, match=words):
            CocoPrompts(str(tmp_path), **keys)
    path = tmp_path / 'annotations' / 'instances_val2017.json'
    for text, words in (
        ('{', 'no JSON'),
        ('[]', 'no images and no annotations'),
        ('{"images": [], "annotations": []}', 'have no categories'),
        (
            '{"images": [{"id": 1, "file_name": "a", "width": 3}], "annotations": [],'
            ' "categories": []}',
            "number 0 of 'images' has no usable height",
        ),
        (
            '{"images": [], "annotations": [{"image_id": 1}], "categories": []}',
            "number 0 of 'annotations' has no usable category_id",
        ),
    ):
        path.write_text(text)
        with pytest.raises(ValueError, match=words):
            CocoPrompts(str(tmp_path))


def test_masks_of_real_annotations_equal_those_of_pycocotools(data_root, capsys):
    root = data_root / 'coco'
    dataset = CocoPrompts(str(root), max_images=12)
    assert len(dataset) == 12
    coco = COCO(str(root / 'annotations' / 'instances_val2017.json'))
    for i in range(12):
        info = dataset.get_data_info(i)
        found = dataset.load_targets(info)
        masks, ignore = {}, np.zeros(found.ignore.shape, bool)
        for each in coco.loadAnns(coco.getAnnIds(info['image_key'])):
            mask = coco.annToMask(each).astype(bool)
            if each['iscrowd']:
                ignore |= mask
            else:
                masks[each['category_id']] = masks.get(each['category_id'], False) | mask
        assert found.keys == sorted(key for key, mask in masks.items() if (mask & ~ignore).any())
        for key, mask in zip(found.keys, found.masks, strict=True):
            assert np.array_equal(mask, masks[key] & ~ignore)
        assert np.array_equal(found.ignore, ignore)
        names = [coco.cats[key]['name'] for key in found.keys]
        assert names == [dataset.categories[label] for label in found.labels]
