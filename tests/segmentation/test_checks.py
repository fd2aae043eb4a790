"""Each kind of unusable data gets its sentence."""

import shutil

import cv2
import numpy as np
import pytest

pytest.importorskip('mmseg')

from mmengine.dataset import ConcatDataset
from mmengine.registry import init_default_scope
from mmseg.registry import DATASETS

import mmc_plugin.segmentation  # noqa: F401  registers
from mmc_plugin.segmentation.checks import is_broken

PIPELINE = [dict(type='LoadImageFromFile'), dict(type='LoadAnnotations')]


@pytest.fixture
def copy(street, tmp_path):
    """A copy of the synthetic images that may be spoilt."""
    return shutil.copytree(street, tmp_path / 'street')


def build(root, pipeline=PIPELINE, **kwargs):
    init_default_scope('mmseg')
    prefix = dict(img_path='img_dir/train', seg_map_path='ann_dir/train')
    return DATASETS.build(
        dict(
            type='CheckedSegDataset',
            dataset=dict(
                type='CamVidDataset',
                data_root=str(root),
                data_prefix=prefix,
                pipeline=pipeline,
                **kwargs,
            ),
        )
    )


def test_a_good_dataset_is_the_hosts_own(street):
    dataset = build(street)
    assert type(dataset) is DATASETS.get('CamVidDataset')
    assert len(dataset) == 6 and dataset[0]['gt_seg_map'].shape == (32, 48)
    assert isinstance(ConcatDataset([dataset, build(street)]), ConcatDataset)


def test_ids_outside_the_classes(copy):
    path = copy / 'ann_dir' / 'train' / 'train2.png'
    labels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    labels[:2, :3] = 11
    labels[5, 5] = 40
    cv2.imwrite(str(path), labels)
    dataset = build(copy)
    dataset[1]
    with pytest.raises(ValueError, match=r'train2.png holds ids outside .* classes: 11, 40 \(7 '):
        dataset[2]


def test_classes_left_out_and_zero_labels_are_those_after_loading(street):
    dataset = build(street, reduce_zero_label=True)
    assert dataset[0]['gt_seg_map'].max() == 255
    names = DATASETS.get('CamVidDataset').METAINFO['classes'][:4]
    assert set(np.unique(build(street, metainfo=dict(classes=names))[0]['gt_seg_map'])) <= {
        0,
        1,
        2,
        3,
        255,
    }


def test_sizes_that_differ(copy):
    path = copy / 'ann_dir' / 'train' / 'train0.png'
    cv2.imwrite(str(path), np.zeros((32, 47), np.uint8))
    resized = [PIPELINE[0], dict(type='Resize', scale=(96, 64)), PIPELINE[1]]
    for pipeline in (PIPELINE, resized):
        with pytest.raises(ValueError, match=r'train0.png has the shape \(32, 47\), its .*48\)'):
            build(copy, pipeline)[0]
        build(copy, pipeline)[1]
    cv2.imwrite(str(path), np.zeros((32, 48, 3), np.uint8))
    with pytest.raises(ValueError, match='one channel of class ids'):
        build(copy)[0]


def test_a_missing_label(copy):
    (copy / 'ann_dir' / 'train' / 'train4.png').unlink()
    with pytest.raises(FileNotFoundError, match='the label .*train4.png is missing'):
        build(copy)


def test_an_image_of_the_list_that_is_missing(copy):
    (copy / 'split.txt').write_text('train0\ngone\n')
    with pytest.raises(FileNotFoundError, match='the image .*gone.jpg is missing'):
        build(copy, ann_file='split.txt')


def test_an_empty_split(copy):
    for path in (copy / 'img_dir' / 'train').iterdir():
        path.unlink()
    with pytest.raises(ValueError, match='has no image in .*img_dir/train: .* end in .jpg'):
        build(copy)
    (copy / 'split.txt').write_text('')
    with pytest.raises(ValueError, match='has no image in .*split.txt'):
        build(copy, ann_file='split.txt')


def test_folders_that_are_not_there(copy):
    with pytest.raises(FileNotFoundError, match='CamVidDataset has nothing at .*nowhere: prepare'):
        build(copy / 'nowhere')
    shutil.rmtree(copy / 'ann_dir' / 'train')
    with pytest.raises(FileNotFoundError, match='has nothing at .*ann_dir/train'):
        build(copy)


def test_broken_files_are_left_out_and_listed(copy, monkeypatch, call, make_tiny, tmp_path):
    said = []
    monkeypatch.setattr(
        'mmc_plugin.segmentation.checks.print_log', lambda text, **_: said.append(text)
    )
    images, labels = copy / 'img_dir' / 'train', copy / 'ann_dir' / 'train'
    jpeg = (images / 'train1.jpg').read_bytes()
    (images / 'train1.jpg').write_bytes(jpeg[: len(jpeg) // 2])
    (images / 'train3.jpg').write_text('<html>not found</html>')
    (labels / 'train4.png').write_bytes(b'')
    with open(images / 'train5.jpg', 'ab') as file:  # cameras do so
        file.write(b'\0' * 64)
    dataset = build(copy)
    kept = [dataset.get_data_info(i)['img_path'][-10:-4] for i in range(len(dataset))]
    assert kept == ['train0', 'train2', 'train5'] and dataset.left_out == 3
    assert all(dataset[i]['gt_seg_map'].shape == (32, 48) for i in range(3))
    (line,) = said
    assert line.startswith('CamVidDataset: left out 3 of 6 images, for broken files: ')
    assert [name in line for name in ('train1.jpg', 'train3.jpg', 'train4.png')] == [True] * 3
    for path in images.iterdir():
        path.write_bytes(b'')
    with pytest.raises(ValueError, match=r'has no whole image: .*train0.jpg is broken'):
        build(copy)


def test_a_whole_dataset_of_the_host_is_not_called_broken(data_root):
    paths = sorted((data_root / 'camvid').rglob('*.[jp][pn]g'))
    assert len(paths) > 900
    assert not [path for path in paths if is_broken(str(path))]


def test_the_tools_end_in_the_sentence(copy, make_tiny, refused, tmp_path):
    cv2.imwrite(str(copy / 'ann_dir' / 'val' / 'val1.png'), np.full((32, 48), 12, np.uint8))
    config = make_tiny(tmp_path / 'tiny.py', copy)
    options = ('--cfg-options', 'train_cfg.max_iters=1', 'train_cfg.val_interval=1')
    line = refused('train.py', config, '--work-dir', 'work', *options)
    assert 'val1.png holds ids outside the 11 classes: 12' in line
    # The same from a worker.
    options += ('val_dataloader.num_workers=1',)
    line = refused('train.py', config, '--work-dir', 'work', *options)
    assert 'val1.png holds ids outside the 11 classes: 12' in line
    shutil.rmtree(copy / 'img_dir' / 'train')
    line = refused('train.py', config, '--work-dir', 'work')
    assert 'has nothing at' in line and 'img_dir/train' in line
