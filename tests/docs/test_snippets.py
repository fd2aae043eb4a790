"""What stands on the page for OpenMMLab projects runs as it is pasted."""

import importlib
import re
import runpy
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope, init_default_scope
from mmpretrain.models import VisionTransformer
from mmpretrain.registry import MODELS

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / 'docs' / 'openmmlab.md').read_text(encoding='utf-8')


def snippet(name: str) -> str:
    """The code whose first line is a comment with the name of its file."""
    (found,) = re.findall(rf'```python\n(# {re.escape(name)}.*?)```', PAGE, re.DOTALL)
    return found


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working folder with the checkpoint that the snippets name: of a teacher, ViT-S/16."""
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    backbone = VisionTransformer('deit-small', img_size=224, patch_size=16)
    state = {f'teacher.backbone.{key}': value for key, value in backbone.state_dict().items()}
    (named,) = set(re.findall(r"checkpoint='(work_dirs/\S+\.pth)'", PAGE))
    path = tmp_path / named
    path.parent.mkdir(parents=True)
    torch.save(dict(meta=dict(epoch=500, iter=1), state_dict=state), path)
    return tmp_path


def train(monkeypatch, name: str, *options: str) -> None:
    """Train with the snippet of that name, as the page says, but for the length of the run."""
    Path(name).write_text(snippet(name), encoding='utf-8')
    command = ['train.py', name, '--work-dir', 'run', '--cfg-options', *options]
    monkeypatch.setattr(sys, 'argv', command)
    monkeypatch.setenv('LOCAL_RANK', '0')
    with DefaultScope.overwrite_default_scope(None):
        runpy.run_path(str(ROOT / 'tools' / 'train.py'), run_name='__main__')


def image(path: Path, size=(48, 64), values=256) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = (*size, 3) if path.suffix == '.jpg' else size
    pixels = np.random.default_rng(len(str(path))).integers(0, values, shape, dtype=np.uint8)
    assert cv2.imwrite(str(path), pixels)


def test_finetuning_in_mmpretrain(folder, monkeypatch):
    for split in ('train', 'val'):
        for label in range(3):  # of the 37
            image(folder / 'data' / 'pets' / split / f'class_{label:02d}' / 'a.jpg')
    train(
        monkeypatch, 'finetune.py', 'train_cfg.max_epochs=1', 'train_dataloader.batch_size=3',
        'train_dataloader.num_workers=0', 'val_dataloader.num_workers=0',
        'train_cfg.val_interval=1',
        'param_scheduler=[]', 'optim_wrapper.optimizer.lr=1e-20', 'optim_wrapper.precision=fp32',
    )  # fmt: skip
    (log,) = (folder / 'run').glob('*/*.log')
    assert 'accuracy/top1' in log.read_text()
    trained = torch.load(folder / 'run' / 'epoch_1.pth', weights_only=False)['state_dict']
    given = torch.load(next((folder / 'work_dirs').rglob('*.pth')))['state_dict']
    for key, value in given.items():  # the weights are those of the teacher
        ours = trained[key.removeprefix('teacher.')]
        assert torch.allclose(ours, value, atol=1e-6), key


def test_segmentation_in_mmsegmentation(folder, monkeypatch):
    pytest.importorskip('mmseg')
    for split in ('train', 'val'):
        for number in range(2):
            for kind, suffix, values in (('img_dir', 'jpg', 256), ('ann_dir', 'png', 11)):
                path = folder / 'data' / 'camvid' / kind / split / f'{number}.{suffix}'
                image(path, (92, 120), values)
    train(
        monkeypatch, 'segment.py', 'train_cfg.max_iters=1', 'train_cfg.val_interval=1',
        'train_dataloader.batch_size=2', 'train_dataloader.num_workers=0',
        'val_dataloader.num_workers=0', 'optim_wrapper.precision=fp32',
    )  # fmt: skip
    (log,) = (folder / 'run').glob('*/*.log')
    assert 'mIoU' in log.read_text()
    assert re.search(r'The backbone is that of .*\(teacher\).*SHA-256', log.read_text())


def test_the_backbone_of_the_detector(folder):
    """What of it needs no compiled operators: the config, its backbone and the weights."""
    (folder / 'detect.py').write_text(snippet('detect.py'), encoding='utf-8')
    cfg = Config.fromfile('detect.py', import_custom_modules=False)
    with DefaultScope.overwrite_default_scope(None):
        init_default_scope('mmpretrain')
        backbone = MODELS.build(cfg.model.backbone)
        backbone.init_weights()
        neck = MODELS.build(cfg.model.neck)
    given = torch.load(next((folder / 'work_dirs').rglob('*.pth')))['state_dict']
    for key, value in backbone.state_dict().items():
        if key != 'pos_embed':
            assert torch.equal(value, given[f'teacher.backbone.{key}']), key
    assert backbone.pos_embed.shape == (1, 1 + 32 * 32, 384)
    maps = neck(backbone(torch.rand(1, 3, 64, 128)))
    strides = cfg.model.bbox_head.strides
    assert [each.shape[2:] for each in maps] == [(64 // s, 128 // s) for s in strides]
    assert len(strides) == len(cfg.model.bbox_head.regress_ranges)
    assert maps[0].shape[1] == cfg.model.bbox_head.in_channels


def test_detection_in_mmdet(folder, data_root, monkeypatch):
    try:
        importlib.import_module('mmdet.models')
    except (ImportError, AttributeError) as error:
        pytest.skip(f'mmdet.models needs mmdet and the compiled operators of mmcv: {error}')
    coco = folder / 'data' / 'coco'
    (coco / 'annotations').mkdir(parents=True)
    source = data_root / 'coco'
    for split in ('train2017', 'val2017'):
        (coco / split).symlink_to(source / 'val2017')
        (coco / 'annotations' / f'instances_{split}.json').symlink_to(
            source / 'annotations' / 'instances_val2017.json'
        )
    train(
        monkeypatch, 'detect.py', 'train_cfg.max_epochs=1', 'train_dataloader.batch_size=2',
        'train_dataloader.num_workers=0', 'val_dataloader.num_workers=0',
        'train_dataloader.dataset.indices=4', 'val_dataloader.dataset.indices=4',
        'model.test_cfg.score_thr=0.0', 'model.test_cfg.max_per_img=10',
    )  # fmt: skip
    (log,) = (folder / 'run').glob('*/*.log')
    assert 'bbox_mAP' in log.read_text()
