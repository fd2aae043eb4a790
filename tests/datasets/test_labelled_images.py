import numpy as np
import pytest
from mmengine.registry import init_default_scope
from PIL import Image

import mmc_plugin  # noqa: F401  registers
from mmc_plugin.datasets.labelled_images import UNREADABLE, LabelledImages, check_classes

from .test_cifar import batches, write_pickles
from .test_image_sets import pets, save
from .test_part_patches import PEOPLE, coco


@pytest.fixture(autouse=True)
def scope():
    init_default_scope('mmpretrain')


def tree(root, *names):
    for name in names:
        save(root / name / '1.png', seed=len(name))
    return LabelledImages(dict(type='ClassFolders', data_root=str(root)))


def test_files_are_bgr_with_the_labels_of_their_folders(tmp_path):
    dataset = tree(tmp_path, 'a', 'bb')
    assert dataset.metainfo['classes'] == ('a', 'bb') and len(dataset) == 2
    sample = dataset[1]
    expected = np.asarray(Image.open(tmp_path / 'bb' / '1.png'))[..., ::-1]
    np.testing.assert_array_equal(sample['img'], expected)
    assert sample['gt_label'] == 1 and sample['img_shape'] == (9, 11)
    assert sample['img'].flags.c_contiguous


def test_arrays_and_sets_of_mmpretrain(tmp_path):
    write_pickles(tmp_path, 10)
    source = dict(type='CifarImages', data_root=str(tmp_path), split='test')
    dataset = LabelledImages(source)
    pixels, labels = batches(10)['test_batch']
    for i in range(len(dataset)):
        np.testing.assert_array_equal(dataset[i]['img'], pixels[i].transpose(1, 2, 0)[..., ::-1])
        assert dataset[i]['gt_label'] == labels[i]
    source = dict(type='OxfordIIITPet', data_root=str(pets(tmp_path / 'pets')), split='trainval')
    assert [LabelledImages(source)[i]['gt_label'] for i in range(6)] == [0] * 3 + [1] * 3


def test_boxes_of_a_set_are_cut_out(tmp_path):
    source = dict(type='CocoParts', **coco(tmp_path, PEOPLE))
    dataset = LabelledImages(source)
    image = np.asarray(Image.open(tmp_path / 'images' / 'a.png'))[..., ::-1]
    np.testing.assert_array_equal(dataset[0]['img'], image[15:65, 25:75])
    assert dataset[0]['img_shape'] == (50, 50) and dataset.metainfo['classes'][0] == 'nose'


def test_an_unreadable_image_is_replaced_in_training_only(tmp_path):
    tree(tmp_path, 'a', 'bb')
    (tmp_path / 'a' / '1.png').write_bytes(b'broken')
    source = dict(type='ClassFolders', data_root=str(tmp_path))
    np.random.seed(0)
    assert {LabelledImages(source)[0]['gt_label'] for _ in range(9)} == {1}
    left_out = LabelledImages(source, test_mode=True)[0]
    assert left_out['gt_label'] == UNREADABLE and not left_out['img'].any()
    assert left_out['img_path'].endswith('a/1.png')
    (tmp_path / 'bb' / '1.png').write_bytes(b'broken')
    with pytest.raises(RuntimeError, match='100 images drawn .* the first: .*a/1.png'):
        LabelledImages(source)[0]


def test_heads_and_sets_must_have_the_same_classes(tmp_path):
    train = tree(tmp_path / 'train', 'a', 'b', 'c')
    check_classes(3, dict(train=train))
    check_classes(3, dict(train=train, validate=tree(tmp_path / 'val', 'a', 'b', 'c')))
    for number in (2, 4):
        with pytest.raises(ValueError, match=f'have 3 classes and the head has {number}'):
            check_classes(number, dict(train=train))
    other = tree(tmp_path / 'other', 'a', 'b', 'd')
    with pytest.raises(ValueError, match='train and to validate with differ: c, d is in one'):
        check_classes(3, dict(train=train, validate=other))
    write_pickles(tmp_path, 10)  # whose classes have no names: labels up to 9
    cifar = LabelledImages(dict(type='CifarImages', data_root=str(tmp_path), split='test'))
    check_classes(10, dict(test=cifar))
    with pytest.raises(ValueError, match='have 10 classes and the head has 9'):
        check_classes(9, dict(test=cifar))
