"""What a detector cannot be trained with is said in a sentence, with the tools."""

import json
import shutil

import pytest
import torch

NAME = 'vits_coco_mask_rcnn_640_1x.py'


@pytest.fixture
def refused(tiny, tool, tmp_path):
    """Change the tiny config by a function, train, and give the sentence it ends with."""

    def run(change, name=NAME) -> str:
        cfg = tiny(name)
        cfg.train_cfg.max_epochs = 1
        change(cfg)
        config = tmp_path / 'tiny.py'
        cfg.dump(config)
        code, said = tool('train.py', config, '--work-dir', 'work')
        assert code not in (0, None), said[-3000:]
        line = str(code) if isinstance(code, str) else said.strip().splitlines()[-1]
        assert 'Traceback' not in said
        return line

    return run


def test_four_maps_of_one_size_under_fpn(refused):
    def change(cfg):
        cfg.model.backbone.out_indices = (5, 7, 9, 11)
        cfg.model.neck = dict(type='FPN', in_channels=[24] * 4, out_channels=256, num_outs=5)

    line = refused(change)
    assert 'rpn_head is set for maps of strides 4, 8, 16, 32, 64' in line
    assert 'gets maps of strides 16, 16, 16, 16, 32 from DetectionViT (patch 16) and FPN' in line
    assert "neck=dict(type='SimpleFPN', in_channels=24)" in line


def test_wrong_strides(refused):
    def change(cfg):
        cfg.model.rpn_head.anchor_generator.strides = [8, 16, 32, 64, 128]

    line = refused(change)
    assert 'strides 8, 16, 32, 64, 128' in line and 'maps of strides 4, 8, 16, 32, 64' in line


def test_another_patch_size_than_the_checkpoint(refused):
    def change(cfg):
        cfg.model.backbone.patch_size = 8

    assert 'does not fit the checkpoint' in refused(change)


def test_patches_that_give_other_strides(refused):
    """Patches of 14: of the pyramid's strides none is a head's."""

    def change(cfg):
        cfg.model.backbone.update(patch_size=14, img_size=56, checkpoint=None)

    assert 'maps of strides 3.5, 7, 14, 28, 56' in refused(change)


def test_images_smaller_than_two_patches(refused):
    def change(cfg):
        cfg.train_dataloader.dataset.pipeline[2].scale = (12, 12)
        cfg.model.data_preprocessor.pad_size_divisor = 1

    assert 'cannot halve a map of 1×1 patches' in refused(change)


def test_categories_that_do_not_match(refused, coco, tmp_path):
    folder = tmp_path / 'renamed'
    shutil.copytree(coco, folder)
    path = folder / 'annotations' / 'instances_train2017.json'
    content = json.loads(path.read_text())
    content['categories'][2]['name'] = 'automobile'
    path.write_text(json.dumps(content))

    def change(cfg):
        cfg.train_dataloader.dataset.data_root = f'{folder}/'

    line = refused(change)
    assert 'instances_train2017.json has 80 categories, among which car of the 80' in line


def test_heads_with_other_classes_than_the_data(refused):
    def change(cfg):
        cfg.model.roi_head.bbox_head.num_classes = 20

    assert 'roi_head.bbox_head has num_classes=20, and the data set 80 classes' in refused(change)


def test_annotations_and_images_that_are_not_there(refused, coco, tmp_path):
    def elsewhere(cfg):
        cfg.train_dataloader.dataset.data_root = 'nowhere/'

    assert 'no annotations at nowhere/annotations/instances_train2017.json' in refused(elsewhere)

    def without_images(cfg):
        cfg.train_dataloader.dataset.data_prefix.img = 'images/'

    assert 'images/0.png' in (line := refused(without_images)) and 'data_prefix' in line


def test_a_frozen_backbone_in_the_optimiser(refused):
    def change(cfg):
        for key in ('constructor', 'paramwise_cfg'):  # mmengine's own way
            cfg.optim_wrapper.pop(key)

    line = refused(change, 'vits_coco_mask_rcnn_frozen.py')
    assert 'the backbone is frozen, but the optimiser holds' in line
    assert 'MergedGroupsOptimWrapperConstructor' in line


def test_detection_and_segmentation_read_the_same_backbone_to_the_bit(tiny, weights):
    from mmdet.registry import MODELS

    cfg = tiny(NAME)
    detector = MODELS.build(cfg.model)
    detector.init_weights()
    plain = dict(type='mmpretrain.PretrainedViT', out_type='featmap', frozen=True)
    other = MODELS.build(dict(cfg.model.backbone, **plain))
    other.init_weights()
    images = torch.randn(2, 3, 48, 64)
    detector.eval()
    assert torch.equal(detector.backbone(images)[0], other(images)[0])
