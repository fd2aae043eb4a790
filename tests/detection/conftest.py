"""Drawn images with boxes as COCO and VOC have them, tiny detectors, and the tools run here."""

import importlib
import io
import json
import runpy
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope

from mmc_plugin.models.backbones import PretrainedViT

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = ROOT / 'configs' / 'detection'
ARCH = dict(embed_dims=24, num_layers=12, num_heads=2, feedforward_channels=48)
VIEW = 64  # pixels


@pytest.fixture(scope='session', autouse=True)
def operators():
    """Everything here needs mmdet and mmcv's compiled operators."""
    try:
        importlib.import_module('mmdet.models')
    except ImportError as error:
        pytest.skip(f'mmdet and the compiled operators of mmcv (run_tests.sh --ops): {error}')


@pytest.fixture(autouse=True)
def scope(operators):
    """Names are looked for in mmdetection, whatever ran before in this process."""
    importlib.import_module('mmc_plugin.detection')
    with DefaultScope.overwrite_default_scope('mmdet'):
        yield


def draw(number: int) -> tuple[np.ndarray, list[tuple[int, list[int]]]]:
    """A grey image with two filled boxes, and their classes and (x, y, w, h)."""
    rng = np.random.default_rng(number)
    image = rng.integers(100, 140, (48, 64, 3), dtype=np.uint8)
    boxes = []
    for label, left in ((number % 2, 2), (1, 34)):
        x, y = left + int(rng.integers(0, 6)), int(rng.integers(0, 10))
        image[y : y + 34, x : x + 22] = ((255, 0, 0), (0, 0, 255))[label]
        boxes.append((label, [x, y, 22, 34]))
    return image, boxes


@pytest.fixture(scope='session')
def coco(tmp_path_factory) -> Path:
    """Four images of two of the 80 classes, to train and to validate. Do not write to it."""
    classes = importlib.import_module('mmdet.datasets').CocoDataset.METAINFO['classes']
    root = tmp_path_factory.mktemp('coco')
    images, annotations = [], []
    for number in range(4):
        image, boxes = draw(number)
        name = f'{number}.png'
        for split in ('train2017', 'val2017'):
            (root / split).mkdir(exist_ok=True)
            cv2.imwrite(str(root / split / name), image)
        images.append(dict(id=number, file_name=name, height=48, width=64))
        for label, (x, y, w, h) in boxes:
            outline = [x, y, x + w, y, x + w, y + h, x, y + h]
            annotations.append(
                dict(id=len(annotations) + 1, image_id=number, category_id=label + 1, iscrowd=0,
                     bbox=[x, y, w, h], area=w * h, segmentation=[outline])
            )  # fmt: skip
    categories = [dict(id=i + 1, name=name) for i, name in enumerate(classes)]
    (root / 'annotations').mkdir()
    for split in ('train', 'val'):
        (root / 'annotations' / f'instances_{split}2017.json').write_text(
            json.dumps(dict(images=images, annotations=annotations, categories=categories))
        )
    return root


@pytest.fixture(scope='session')
def voc(tmp_path_factory) -> Path:
    """The same images in the layout of VOC: cats and dogs."""
    root = tmp_path_factory.mktemp('voc')
    for year, splits in (('VOC2007', ('trainval', 'test')), ('VOC2012', ('trainval',))):
        for folder in ('ImageSets/Main', 'JPEGImages', 'Annotations'):
            (root / year / folder).mkdir(parents=True)
        for split in splits:
            (root / year / 'ImageSets' / 'Main' / f'{split}.txt').write_text('0\n1\n')
        for number in range(2):
            image, boxes = draw(number)
            cv2.imwrite(str(root / year / 'JPEGImages' / f'{number}.jpg'), image)
            objects = ''.join(
                f'<object><name>{("cat", "dog")[label]}</name><difficult>0</difficult><bndbox>'
                f'<xmin>{x + 1}</xmin><ymin>{y + 1}</ymin><xmax>{x + w}</xmax><ymax>{y + h}</ymax>'
                '</bndbox></object>'
                for label, (x, y, w, h) in boxes
            )
            (root / year / 'Annotations' / f'{number}.xml').write_text(
                '<annotation><size><width>64</width><height>48</height></size>'
                f'{objects}</annotation>'
            )
    return root


@pytest.fixture(scope='session')
def weights(tmp_path_factory) -> Path:
    """A backbone for images of 32×32, that is with 2×2 positions."""
    path = tmp_path_factory.mktemp('weights') / 'backbone.pth'
    torch.manual_seed(3)
    model = PretrainedViT(arch=ARCH, img_size=32, patch_size=16)
    model.init_weights()
    torch.save(dict(state_dict=model.state_dict()), path)
    return path


def smaller(pipeline: list) -> None:
    """Make a pipeline's images those of the tests."""
    for step in pipeline:
        for key in ('scale', 'crop_size', 'size'):
            if key in step:
                step[key] = (VIEW, VIEW)
        if 'ratio_range' in step:
            step['ratio_range'] = (0.9, 1.1)


@pytest.fixture
def tiny(tmp_path, monkeypatch, coco, voc, weights):
    """Make a config of the package tiny, but for its parts: the name of one → a config."""
    monkeypatch.setenv('COCO_ROOT', str(coco))
    monkeypatch.setenv('VOC_ROOT', str(voc))
    monkeypatch.setenv('MMC_CHECKPOINT', str(weights))

    def make(name: str) -> Config:
        cfg = Config.fromfile(CONFIGS / name)
        cfg.experiment_name = f'{name}_{tmp_path.name}'  # mmengine keeps loggers by it
        model = cfg.model
        model.backbone.update(arch=ARCH, img_size=VIEW)
        if 'window_size' in model.backbone:
            model.backbone.window_size = 3
        several = 'out_indices' in model.backbone
        model.neck.in_channels = [24] * 4 if several else 24
        stages = model.train_cfg.rcnn
        for stage in stages if isinstance(stages, list) else [stages]:
            stage.sampler.num = 16
        # After an iteration nothing is sure.
        model.test_cfg.rcnn.update(score_thr=0.0, max_per_img=10)
        heads = model.roi_head.bbox_head
        for head in heads if isinstance(heads, list) else [heads]:
            head.fc_out_channels = 32
        train = cfg.train_dataloader.dataset
        while 'dataset' in train:
            train = train.dataset
        for each in train.get('datasets', [train]):
            each.pop('filter_cfg', None)
            smaller(each.pipeline)
        for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
            loader.update(num_workers=0, persistent_workers=False)
        for loader in (cfg.val_dataloader, cfg.test_dataloader):
            smaller(loader.dataset.pipeline)
        cfg.train_dataloader.batch_size = 2
        cfg.default_hooks.logger.interval = 1
        cfg.visualizer.vis_backends = [dict(type='LocalVisBackend')]
        return cfg

    return make


@pytest.fixture
def tool(tmp_path, monkeypatch):
    """Run a tool in this process, in a folder of its own: → its exit code and what it wrote."""
    monkeypatch.chdir(tmp_path)

    def run(name: str, *arguments) -> tuple[int, str]:
        monkeypatch.setattr(sys, 'argv', [name, *map(str, arguments)])
        monkeypatch.setenv('LOCAL_RANK', '0')
        code, said = 0, io.StringIO()
        with (
            DefaultScope.overwrite_default_scope(None),
            redirect_stdout(said),
            redirect_stderr(said),
        ):
            try:
                runpy.run_path(str(ROOT / 'tools' / name), run_name='__main__')
            except SystemExit as end:
                code = end.code or 0
        return code, said.getvalue()

    return run
