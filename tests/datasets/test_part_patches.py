"""Patches of parts against a slow reading of the rule of arXiv 2301.11915."""

import json
import math
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from mmc_plugin.datasets import CocoParts, CubParts


def person(number, image, points):
    """An annotation with some of 17 keypoints: id from 1 → (x, y, v)."""
    flat = [0] * 51
    for part, values in points.items():
        flat[3 * part - 3 : 3 * part] = values
    return dict(id=number, image_id=image, keypoints=flat)


def coco(root, people, names=('a.png', 'b.png')):
    """A folder in COCO's format with images of 200×160."""
    (root / 'images').mkdir(parents=True, exist_ok=True)
    images = []
    for i, name in enumerate(names):
        pixels = np.random.default_rng(i).integers(1, 256, (160, 200, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(root / 'images' / name)
        images.append(dict(id=i, file_name=name, width=200, height=160))
    path = root / 'keypoints.json'
    path.write_text(json.dumps(dict(images=images, annotations=people)))
    return dict(data_root=str(root), ann_file='keypoints.json', img_dir='images')


PEOPLE = [
    person(1, 0, {1: (50, 40, 2), 11: (110, 120, 2), 16: (60, 150, 1)}),
    person(2, 0, {1: (70, 50, 2), 16: (160, 140, 2), 11: (190, 300, 2)}),  # the wrist is outside
    person(3, 1, {1: (50, 40, 2)}),  # no second part
    person(4, 1, {1: (20, 20, 2), 11: (30, 20, 2), 16: (100, 100, 2)}),  # two are near
]


def test_patches_by_hand(tmp_path):
    found = CocoParts(**coco(tmp_path, PEOPLE))
    half = round(100 / 4)  # of nose and wrist of the first, 60 and 80 apart
    assert [found.classes[i] for i in found.labels] == [
        'nose', 'right_wrist', 'nose', 'left_ankle', 'left_ankle'
    ]  # fmt: skip
    files = found.images(0, 64)
    assert files.boxes[:2] == [(25, 15, 75, 65), (85, 95, 135, 145)] and half == 25
    assert found.left_out == {
        'of people with one visible part': 1, 'outside the image': 1, 'too near or too far': 2
    }  # fmt: skip
    whole = CocoParts(**coco(tmp_path, PEOPLE), side=1).images(0, 64)
    assert whole.boxes[0] == (0, -10, 100, 90)
    # The noses of the two people are 22 apart: near in the image, not among one's own.
    people = [*PEOPLE, person(5, 1, {1: (150, 20, 2), 16: (190, 60, 2)})]
    near = CocoParts(**coco(tmp_path, people), neighbours='image')
    assert near.left_out['too near or too far'] == 4 and len(near) == 5
    with pytest.raises(ValueError, match='no patch of the part nose .*4 too near or too far'):
        CocoParts(**coco(tmp_path, PEOPLE), neighbours='image')


def test_pixels_outside_the_image_are_black_and_fit_is_the_sets(tmp_path):
    given = coco(tmp_path, PEOPLE)
    files = CocoParts(**given, side=1).images(0, 100)
    assert files.fit == 'stretch' and CocoParts(**given, fit='crop').images(0, 9).fit == 'crop'
    pixels, ok = files[0]  # its box is 100×100, ten rows of it above the image
    image = np.asarray(Image.open(tmp_path / 'images' / 'a.png')).transpose(2, 0, 1)
    assert ok and not pixels[:, :10].any()
    assert np.array_equal(pixels[:, 10:].numpy(), image[:, :90, :100])


def slow_counts(path, neighbours):
    """The rule as it reads; neighbours='release' has the person's id as a third coordinate."""
    content = json.loads(path.read_text())
    found = Counter()
    for image in content['images']:
        points = []
        for each in content['annotations']:
            flat = np.reshape(each['keypoints'], (17, 3))
            seen = [(x, y, each['id']) for x, y, v in flat[[0, 10, 15]] if v == 2]
            parts = [i for i in (0, 10, 15) if flat[i, 2] == 2]
            if each['image_id'] == image['id'] and len(seen) > 1:
                points += zip(seen, parts)
        size = 3 if neighbours == 'release' else 2
        for i, (place, part) in enumerate(points):
            others = [other for j, (other, _) in enumerate(points) if j != i]
            distance = min(math.dist(place[:size], other[:size]) for other in others)
            found[part] += 20 < distance / 2 < 1000
    return found


@pytest.mark.parametrize('split, person_count, image_count', [('train', 79, 74), ('val', 51, 46)])
def test_counts_of_real_annotations(data_root, split, person_count, image_count):
    root = data_root / 'coco_keypoints'
    if not root.is_dir():
        pytest.skip('coco_keypoints is not there')
    name = f'annotations/person_keypoints_{split}2017.json'
    for neighbours, rule, total in (
        ('person', 'release', person_count), ('image', 'image', image_count)
    ):  # fmt: skip
        found = CocoParts(str(root), name, f'{split}2017', neighbours=neighbours)
        slow = slow_counts(root / name, rule)
        assert len(found) == total == sum(slow.values())
        assert Counter(found.labels) == {i: slow[part] for i, part in enumerate((0, 10, 15))}


@pytest.mark.parametrize(
    'text, words',
    [
        ('{', 'is no file of person keypoints'),
        ('[]', 'is no file of person keypoints'),
        ('{"images": [], "annotations": [{"id": 1}]}', "'keypoints'.*Is it the one of instances"),
        (
            '{"images": [{"id": 1, "file_name": "a", "width": null, "height": 9}], '
            '"annotations": []}',
            'is no file of person keypoints',
        ),
        ('{"images": [], "annotations": []}', 'has no patch of the part nose, right_wrist'),
    ],
)
def test_other_annotations_get_a_sentence(tmp_path, text, words):
    given = coco(tmp_path, PEOPLE)
    (tmp_path / 'keypoints.json').write_text(text)
    with pytest.raises(ValueError, match=words):
        CocoParts(**given)


def test_what_is_missing_gets_a_sentence(tmp_path):
    given = coco(tmp_path, PEOPLE)
    with pytest.raises(ValueError, match='side must be 0.5 or 1'):
        CocoParts(**given, side=2)
    (tmp_path / 'images' / 'b.png').unlink()
    assert CocoParts(**given).absent == [str(tmp_path / 'images' / 'b.png')]
    (tmp_path / 'images' / 'a.png').unlink()
    with pytest.raises(FileNotFoundError, match='are not where they should be'):
        CocoParts(**given)
    with pytest.raises(FileNotFoundError, match='set COCO_KEYPOINTS_ROOT'):
        CocoParts(**given | dict(ann_file='gone.json'))
    with pytest.raises(ValueError, match='has no patch of the part left_ankle'):
        CocoParts(**coco(tmp_path, PEOPLE[:1]))


def cub(root):
    """Two birds in the layout of the release, one in each split."""
    (root / 'images' / '001.Bird').mkdir(parents=True)
    (root / 'parts').mkdir()
    names = ['001.Bird/a.jpg', '001.Bird/b.jpg']
    for name in names:
        Image.new('RGB', (300, 300), 'red').save(root / 'images' / name)
    (root / 'images.txt').write_text(''.join(f'{i} {n}\n' for i, n in enumerate(names, 1)))
    (root / 'train_test_split.txt').write_text('1 1\n2 0\n')
    places = {11: (50.0, 60.0), 12: (150.5, 60.0), 9: (150.0, 200.0), 14: (20.0, 210.0)}
    lines = [
        f'{image} {part} {" ".join(map(str, places.get(part, (55.0, 60.0))))} 1'
        for image in (1, 2)
        for part in range(1, 16)
    ]
    (root / 'parts' / 'part_locs.txt').write_text('\n'.join(lines) + '\n')
    return root


@pytest.mark.parametrize('folder', ['.', 'CUB_200_2011'], ids=['itself', 'the one that holds it'])
def test_cub(tmp_path, folder):
    root = cub(tmp_path / folder)
    found = CubParts(str(tmp_path))
    assert found.classes == ['right eye', 'right leg', 'left wing', 'tail']
    assert Counter(found.labels) == {0: 2, 1: 2, 2: 2, 3: 2} and not found.left_out
    assert min(found.images(0, 9).boxes) == (-13, 177, 53, 243)  # of the tail, 130.4 from the wing
    assert (25, 35, 75, 85) in found.images(0, 9).boxes  # the leg is 100.5 pixels away
    train, test = CubParts(str(tmp_path), 'train'), CubParts(str(tmp_path), 'test')
    assert {path[-5:] for path in train.paths} == {'a.jpg'}
    assert {path[-5:] for path in test.paths} == {'b.jpg'}
    lines = (root / 'parts' / 'part_locs.txt').read_text().splitlines()
    lines[10] = '1 11 far 60.0 1'
    (root / 'parts' / 'part_locs.txt').write_text('\n'.join(lines))
    with pytest.raises(ValueError, match='Line 11 of .*part_locs.txt has no numbers'):
        CubParts(str(tmp_path))
    (root / 'parts' / 'part_locs.txt').write_text('1 11 4\n')
    with pytest.raises(ValueError, match='has 3 entries where CUB-200-2011 has 5'):
        CubParts(str(tmp_path))
    (root / 'parts' / 'part_locs.txt').unlink()
    with pytest.raises(FileNotFoundError, match='set CUB_ROOT'):
        CubParts(str(tmp_path))


def test_keypoints_outside_the_photograph_of_a_bird_are_counted(tmp_path):
    path = cub(tmp_path) / 'parts' / 'part_locs.txt'
    lines = path.read_text().splitlines()
    lines[8] = '1 9 300.0 200.0 1'  # the last column is 299
    lines[13] = '1 14 nan 210.0 1'
    path.write_text('\n'.join(lines))
    found = CubParts(str(tmp_path))
    assert found.left_out == {'outside the image': 2}
    assert Counter(found.labels) == {0: 2, 1: 2, 2: 1, 3: 1}
    # Of what is no JPEG the size is not known, and the network sees that it cannot be read.
    (tmp_path / 'images' / '001.Bird' / 'a.jpg').write_bytes(b'no image')
    assert CubParts(str(tmp_path)).left_out == {'outside the image': 1}


def test_a_cub_without_visible_parts_gets_a_sentence(tmp_path):
    path = cub(tmp_path) / 'parts' / 'part_locs.txt'
    lines = path.read_text().splitlines()
    path.write_text('\n'.join(f'{line[:-1]}0' if ' 14 ' in line else line for line in lines))
    with pytest.raises(ValueError, match='has no patch of the part tail'):
        CubParts(str(tmp_path))
