"""The configs of part and object segmentation, and what they read of each format."""

import cv2
import numpy as np
import pytest
import torch

pytest.importorskip('mmseg')

from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmseg.registry import DATASETS, HOOKS, METRICS, MODELS, TRANSFORMS

from .test_configs import CONFIGS as OTHERS

CONFIGS = OTHERS.parent / 'part_segmentation'
# Config → environment variable, classes, side of a crop, stride of the windows.
SETS = {
    'ade20k': ('ADE20K_ROOT', 150, 512, 341),
    'ade20k_object': ('ADE20K_ROOT', 59, 512, 341),
    'ade20k_part': ('ADE20K_PART_ROOT', 209, 512, 341),
    'pascal_object': ('VOC12_ROOT', 16, 480, 161),
    'pascal_part': ('PASCAL_PART_ROOT', 193, 480, 161),
    'lip': ('LIP_ROOT', 19, 320, 161),
}
# Of SceneParsing from 1, in the study's order.
ADE_OBJECTS = [
    2, 3, 5, 8, 9, 11, 13, 15, 16, 18, 20, 21, 24, 25, 26, 31, 32, 33, 34, 36, 37, 38, 43, 45, 48,
    49, 51, 77, 54, 57, 60, 63, 64, 65, 66, 72, 75, 76, 81, 83, 84, 86, 91, 98, 99, 103, 108, 111,
    117, 119, 125, 130, 131, 134, 135, 137, 140, 148, 149,
]  # fmt: skip
# Of VOC from 1: without boat 4, chair 9, dining table 11 and sofa 18.
VOC_OBJECTS = [1, 2, 3, 5, 6, 7, 8, 10, 12, 13, 14, 15, 16, 17, 19, 20]
FOLDERS = {
    'ADE20K': ('images/{}', 'annotations/{}', ('training', 'validation')),
    'VOC': ('JPEGImages', 'SegmentationClass', ('train', 'val')),
    'parts': ('img/{}', 'ann/{}', ('train', 'val')),
    'LIP': ('TrainVal_images/{}_images', 'TrainVal_parsing_annotations/{}_segmentations',
            ('train', 'val')),
}  # fmt: skip
KINDS = dict(ade20k='ADE20K', ade20k_object='ADE20K', ade20k_part='ADE20K', pascal_object='VOC',
             pascal_part='parts', lip='LIP')  # fmt: skip
# How many ids a label map of the format may hold, and the one of pixels without a label.
IDS = dict(
    ade20k=151, ade20k_object=151, ade20k_part=210, pascal_object=21, pascal_part=194, lip=20
)


def load(name):
    cfg = Config.fromfile(CONFIGS / f'{name}.py')
    init_default_scope(cfg.default_scope)
    return cfg


@pytest.mark.parametrize('size', ['b', 's'])
@pytest.mark.parametrize('name', SETS)
def test_the_studys_numbers(name, size):
    cfg = load(f'vit{size}_{name}')
    _, classes, side, stride = SETS[name]
    with torch.device('meta'):
        model = MODELS.build(cfg.model)
    for hook in cfg.default_hooks.values():
        HOOKS.build(hook)
    METRICS.build(cfg.test_evaluator)
    assert model.num_classes == classes and tuple(model.backbone.img_size) == (side, side)
    trained = {n: tuple(p.shape) for n, p in model.named_parameters() if p.requires_grad}
    width = dict(b=768, s=384)[size]
    assert trained == {  # a 1×1 convolution and no norm
        'decode_head.conv_seg.weight': (classes, 4 * width, 1, 1),
        'decode_head.conv_seg.bias': (classes,),
    }
    assert model.backbone.out_indices == [3, 5, 7, 11] and not model.backbone.norm_last
    assert cfg.model.test_cfg == dict(mode='slide', crop_size=(side,) * 2, stride=(stride,) * 2)
    assert cfg.optim_wrapper.optimizer == dict(
        type='AdamW', lr=4e-4, betas=(0.9, 0.999), weight_decay=0.05
    )
    warmup, poly = cfg.param_scheduler
    assert (warmup.start_factor, warmup.end, poly.begin, poly.power) == (1e-6, 1500, 1500, 1)
    assert cfg.train_cfg.max_iters == 160000
    assert cfg.train_dataloader.batch_size == 2 and cfg.auto_scale_lr.base_batch_size == 16
    dataset = cfg.train_dataloader.dataset.dataset
    if name != 'ade20k':  # where all classes are the host's
        assert len(dataset.metainfo.classes) == classes
    steps = {step.type: step for step in dataset.pipeline}
    assert steps['RandomCrop'] == dict(
        type='RandomCrop', crop_size=(side, side), cat_max_ratio=0.75
    )
    assert steps['RandomResize'].ratio_range == (0.5, 2.0)
    assert {'RandomFlip', 'PhotoMetricDistortion'} <= set(steps)
    for step in dataset.pipeline:
        TRANSFORMS.build(step)


def write(root, name):
    """An image in each split, all ids of the format in its label map; gives these."""
    images, labels, splits = FOLDERS[KINDS[name]]
    rng = np.random.default_rng(0)
    ids = rng.permutation(np.arange(240) % IDS[name]).astype(np.uint8).reshape(12, 20)
    if KINDS[name] == 'VOC':
        ids[0, :3] = 255
    for split in splits:
        for folder, end, pixels in (
            (images, 'jpg', rng.integers(0, 256, (12, 20, 3), dtype=np.uint8)), (labels, 'png', ids)
        ):  # fmt: skip
            path = root / folder.format(split) / f'{split}1.{end}'
            path.parent.mkdir(parents=True, exist_ok=True)
            assert cv2.imwrite(str(path), pixels)
        if KINDS[name] == 'VOC':
            path = root / 'ImageSets' / 'Segmentation' / f'{split}.txt'
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f'{split}1\n')
    return ids


def build(name, part='train'):
    cfg = load(f'vitb_{name}')
    return DATASETS.build(cfg[f'{part}_dataloader'].dataset)


def read(dataset):
    """The label map before anything is cut."""
    sample = dataset.get_data_info(0)
    for step in dataset.pipeline.transforms[:3]:  # images, labels, their check
        if type(step).__name__ != 'Resize':
            sample = step(sample)
    return sample['gt_seg_map']


@pytest.mark.parametrize('name', SETS)
def test_label_maps_are_read_by_the_rule(name, tmp_path, monkeypatch):
    ids = write(tmp_path, name)
    monkeypatch.setenv(SETS[name][0], str(tmp_path))
    kept = dict(ade20k_object=ADE_OBJECTS, pascal_object=VOC_OBJECTS).get(
        name, range(1, SETS[name][1] + 1)
    )
    assert len(kept) == SETS[name][1]
    expected = np.full_like(ids, 255)
    for place, number in enumerate(kept):
        expected[ids == number] = place
    found = read(build(name))
    assert np.array_equal(found, expected)
    assert len(np.unique(found)) == len(kept) + 1  # all classes, and what is ignored
    validation = build(name, 'val')
    assert len(validation) == 1 and 'val' in validation.get_data_info(0)['img_path']
    assert len(validation.metainfo['palette']) == len(kept)
    assert validation[0]['data_samples'].gt_sem_seg.data.shape == (1, 12, 20)


def test_an_id_beyond_the_parts_gets_a_sentence(tmp_path, monkeypatch):
    write(tmp_path, 'pascal_part')
    monkeypatch.setenv('PASCAL_PART_ROOT', str(tmp_path))
    cv2.imwrite(str(tmp_path / 'ann/train/train1.png'), np.full((12, 20), 194, np.uint8))
    with pytest.raises(ValueError, match='holds ids outside the 193 classes: 193'):
        read(build('pascal_part'))


@pytest.mark.parametrize('name', SETS)
def test_a_data_set_that_is_not_there_gets_a_sentence(name, tmp_path, monkeypatch):
    monkeypatch.setenv(SETS[name][0], str(tmp_path / 'gone'))
    with pytest.raises(FileNotFoundError, match='has nothing at .*gone'):
        build(name)
