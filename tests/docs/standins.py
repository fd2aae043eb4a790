"""Small stand-ins for the data sets and checkpoints that the pages name."""

import json
from pathlib import Path

import cv2
import numpy as np
import torch
from mmengine.config import Config
from mmpretrain.models import VisionTransformer
from PIL import Image

from mmc_plugin.checkpoints.names import from_mmpretrain
from mmc_plugin.datasets.imagenet100 import imagenet100_wnids
from mmc_plugin.engine.config_files import read_config
from mmc_plugin.structures.palette import encode_palette

from ..conftest import write_davis
from ..datasets.test_cifar import write_binary, write_pickles
from ..datasets.test_image_sets import flowers, pets, save
from ..datasets.test_part_patches import cub, person
from ..datasets.test_revisited import landmarks
from ..datasets.test_split_file import split as mini
from ..segmentation.conftest import write_street
from ..segmentation.test_runs import write_ade
from ..tools.test_finetune import cars
from ..tools.test_recognition import folder

WIDTH = 64
SIZES = {224: 32, 256: 36}  # of images to classify
# Twelve layers, since the pages name some.
ARCH = dict(embed_dims=WIDTH, num_layers=12, num_heads=1, feedforward_channels=WIDTH)


def write_coco(root: Path) -> Path:
    """Three images of people with a mask and keypoints, as both splits of COCO."""
    people, images = [], []
    for split in ('train2017', 'val2017'):
        (root / split).mkdir(parents=True)
    for i in range(3):
        pixels = np.random.default_rng(i).integers(0, 256, (160, 200, 3), dtype=np.uint8)
        for split in ('train2017', 'val2017'):
            Image.fromarray(pixels).save(root / split / f'{i}.jpg')
        images.append(dict(id=i, file_name=f'{i}.jpg', width=200, height=160))
        points = {1: (50, 40, 2), 11: (110, 120, 2), 16: (180, 60, 2)}
        box = [40, 30, 120, 100]
        corners = [[40, 30, 160, 30, 160, 130, 40, 130]]
        people.append(
            person(i, i, points)
            | dict(category_id=1, iscrowd=0, bbox=box, area=12000, segmentation=corners)
        )
    content = dict(images=images, annotations=people, categories=[dict(id=1, name='person')])
    (root / 'annotations').mkdir()
    for split in ('train2017', 'val2017'):
        for kind in ('instances', 'person_keypoints'):
            (root / 'annotations' / f'{kind}_{split}.json').write_text(json.dumps(content))
    return root


def write_voc(root: Path) -> Path:
    """An image of two people and a cat in the layout of PASCAL VOC 2012."""
    classes = np.zeros((96, 128), np.uint8)
    objects = classes.copy()
    for place, (label, box) in enumerate(((15, (8, 8)), (15, (8, 70)), (8, (56, 30))), 1):
        region = slice(box[0], box[0] + 32), slice(box[1], box[1] + 40)
        classes[region], objects[region] = label, place
    photograph = np.random.default_rng(0).integers(0, 256, (96, 128, 3), dtype=np.uint8)
    for name, content in (
        ('SegmentationClass/a.png', encode_palette(classes)),
        ('SegmentationObject/a.png', encode_palette(objects)),
        ('JPEGImages/a.jpg', cv2.imencode('.jpg', photograph)[1].tobytes()),
        ('ImageSets/Segmentation/val.txt', b'a\n'),
    ):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    return root


def write_data(root: Path, photographs: Path) -> None:
    """A small data set in each format, under the name that the pages give it.

    Args:
        root: Folder for them.
        photographs: Folder with some.
    """
    (root / 'images').symlink_to(photographs)
    (root / 'arrays').mkdir()
    for i in range(8):
        pixels = np.random.default_rng(i).integers(0, 65536, (64, 80, 10), dtype=np.uint16)
        np.save(root / 'arrays' / f'{i}.npy', pixels)
    wnids = imagenet100_wnids()
    folder(root / 'imagenet', [*wnids, 'n00000000'], images=1)
    folder(root / 'caltech101', 'abcde', images=6)
    for split in ('train', 'val'):
        (root / split).symlink_to(root / 'caltech101' / split)
    classes = [f'class {i:03d}' for i in range(101)]
    folder(root / 'folder', classes, images=1)
    for name in classes[:2]:  # for few-shot episodes
        for k in range(1, 3):
            save(root / 'folder' / 'val' / name / f'{k}.png', seed=k)
    write_pickles(root / 'cifar', 10)
    write_binary(root / 'cifar', 100)
    flowers(root / 'flowers102')
    folder(pets(root / 'pets'), 'ab', images=11)  # as many as FeatureMonitorHook looks at
    cars(root / 'cars')
    landmarks(landmarks(root / 'revisited'), 'rparis6k')
    mini(root / 'miniimagenet')
    write_coco(root / 'coco')
    write_voc(root / 'VOCdevkit' / 'VOC2012')
    write_ade(root / 'ADEChallengeData2016')
    write_street(root / 'camvid')
    write_davis(root / 'davis2017')
    cub(root / 'CUB_200_2011')


def write_releases(folder: Path) -> None:
    """Small networks in the formats of the releases that the pages name."""
    torch.manual_seed(0)
    for name, patch in (
        ('dino_deitsmall16_pretrain.pth', 16),
        ('dinov2_vitb14_pretrain.pth', 14),
        ('vit-b-300ep.pth.tar', 16),
    ):
        scale = dict(layer_scale_init_value=1e-5) if patch == 14 else {}
        vit = VisionTransformer(ARCH, img_size=14 * patch, patch_size=patch, **scale)
        weights = from_mmpretrain(vit.state_dict(), 'timm')
        if name.endswith('.tar'):
            weights = {f'module.base_encoder.{key}': each for key, each in weights.items()}
            weights = dict(epoch=300, state_dict=weights)
        torch.save(weights, folder / name)


def _shrink(node, width: int) -> None:
    """Networks below a part of a config, in place."""
    for key, value in list(node.items()):
        if key in ('in_channels', 'embed_dim'):
            many = isinstance(value, list)
            changed = [WIDTH if each == width else each for each in (value if many else [value])]
            node[key] = changed if many else changed[0]
        elif key in ('hidden_channels', 'hid_channels', 'num_prototypes', 'decoder_embed_dim'):
            node[key] = 16
        elif key in ('decoder_depth', 'decoder_num_heads'):
            node[key] = 1
        elif key == 'num_heads':
            node[key] = 1
        elif key == 'queue_length':
            node[key] = 8
        for each in value if isinstance(value, list) else [value]:
            if isinstance(each, dict) and key != 'arch':
                _shrink(each, width)


def shrink(path: str, out: Path) -> Path:
    """Write a config that is small in its network, its batches and its length, and else the same.

    Args:
        path: Of the config; variables of the environment count, as always.
        out: Folder for the small one, which has the same name.
    """
    cfg = read_config(path)
    backbone = cfg.model.get('backbone')
    if backbone is not None and backbone.get('arch', 'auto') != 'auto':
        arch = backbone.arch
        sizes = VisionTransformer.arch_zoo[arch] if isinstance(arch, str) else arch
        _shrink(cfg.model, sizes['embed_dims'])
        backbone.arch = dict(ARCH)
    head = cfg.model.get('head', {})
    if 'num_heads' in head:
        head.num_heads = 1
    if head.get('num_classes') == 1000:
        head.num_classes = 101  # of the stand-in for ImageNet
    if 'caltech101' in path and 'num_classes' in head:
        head.num_classes = 5  # of its stand-in
    for part in (cfg.model, cfg.model.get('features', {})):
        if 'size' in part:
            part.size = 96
    for part in ('train', 'val', 'test'):
        loader = cfg.get(f'{part}_dataloader')
        if loader is not None:
            loader.update(num_workers=0, persistent_workers=False)
            most = 4 if part == 'train' and cfg.model.type != 'ViTClassifier' else 32
            loader.batch_size = min(most, loader.batch_size)
        steps = loader.dataset.get('pipeline', []) if loader is not None else []
        if cfg.model.type == 'ViTClassifier':
            for step in steps:
                step.update({key: SIZES[each] for key, each in step.items() if each in SIZES})
    length = cfg.get('train_cfg')
    if length is not None:
        iterations = 'max_iters' in length
        length.update({'max_iters' if iterations else 'max_epochs': 1}, val_interval=1)
        cfg.param_scheduler = []
        cfg.setdefault('default_hooks', {}).setdefault('checkpoint', {})['interval'] = 1
    metrics = cfg.get('test_evaluator') or []
    for metric in metrics if isinstance(metrics, list) else [metrics]:
        if metric.type == 'FewShot':
            metric.update(ways=2, queries=1, episodes=3)
        elif metric.type == 'KNNAccuracy':
            metric.k = [1, 2]
    if cfg.get('test_cfg', {}).get('type') == 'VarianceLoop':
        cfg.test_cfg.views = 2
    return write_config(cfg, out / Path(path).name)


def write_config(cfg: Config, path: Path) -> Path:
    """Write a config without yapf, which takes a good part of the time of a small run."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text('\n'.join(f'{key} = {value!r}' for key, value in cfg.to_dict().items()))
    return path
