"""The configs of part retrieval, run as users run them on stand-ins in the real formats."""

import json

import numpy as np
import pytest
from PIL import Image

from ..datasets.test_part_patches import person
from .test_recognition import checkpoint, numbers_of_one_and_two, run  # noqa: F401


@pytest.fixture
def data(tmp_path):
    root = tmp_path / 'coco'
    (root / 'annotations').mkdir(parents=True)
    (root / 'train2017').mkdir()
    images, people = [], []
    for i in range(3):
        pixels = np.random.default_rng(i).integers(0, 256, (160, 200, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(root / 'train2017' / f'{i}.png')
        images.append(dict(id=i, file_name=f'{i}.png', width=200, height=160))
        people.append(person(i, i, {1: (50, 40, 2), 11: (110, 120, 2), 16: (180, 60, 2)}))
    (root / 'annotations' / 'person_keypoints_train2017.json').write_text(
        json.dumps(dict(images=images, annotations=people))
    )
    return dict(COCO_KEYPOINTS_ROOT=root)


def test_part_retrieval_of_one_process_and_of_two(run):  # noqa: F811
    one, two = numbers_of_one_and_two(run, 'parts/vit_coco_parts.py', 'part_retrieval')
    assert one == two and one['queries'] == 9
    assert set(one['kinds']['pat']['parts']) == {'nose', 'right_wrist', 'left_ankle'}
