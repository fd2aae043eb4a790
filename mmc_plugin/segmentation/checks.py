"""Sentences for segmentation data that cannot be used."""

from __future__ import annotations

import copy
import logging
import os.path as osp

import numpy as np
from mmcv.transforms import BaseTransform
from mmengine.dataset import BaseDataset
from mmengine.logging import print_log
from mmseg.registry import DATASETS, TRANSFORMS

from ..errors import InputError
from ..wording import counted

# How files begin, and what stands in the last bytes, of which cameras add some.
_ENDS = {
    '.png': (b'\x89PNG\r\n\x1a\n', b'IEND'),
    '.jpg': (b'\xff\xd8', b'\xff\xd9'),
    '.jpeg': (b'\xff\xd8', b'\xff\xd9'),
}
_TAIL = 1 << 16


@TRANSFORMS.register_module()
class CheckLabels(BaseTransform):
    """Refuses a label map that does not fit its image or its classes; changes nothing.

    To be placed right after ``LoadAnnotations``. mmseg ignores ids outside the classes when it
    scores, and training ends on them with a failed assertion of the device.

    Args:
        num_classes (int): Ids from 0 to this, exclusively, are labels.
        ignore_index (int): The one id beside them. Defaults to 255.
    """

    def __init__(self, num_classes: int, ignore_index: int = 255) -> None:
        self.num_classes = num_classes
        self.ignore_index = ignore_index

    def transform(self, results: dict) -> dict:
        """Look at ``results['gt_seg_map']``.

        Raises:
            ValueError: If it is not (H, W) of the image as loaded, or holds another id.
        """
        label, path = results['gt_seg_map'], results['seg_map_path']
        size = tuple(results['ori_shape'][:2])
        if label.shape != size:
            raise InputError(
                f'the label {path} has the shape {label.shape}, its image {results["img_path"]} '
                f'{size}: they must have the same height and width, and the label one channel of '
                'class ids'
            )
        wrong = (label >= self.num_classes) & (label != self.ignore_index)
        if wrong.any():
            ids = ', '.join(map(str, np.unique(label[wrong])[:10]))
            raise InputError(
                f'the label {path} holds ids outside the {self.num_classes} classes: {ids} '
                f'({int(wrong.sum())} pixels). Ids go from 0 to {self.num_classes - 1}, and '
                f'{self.ignore_index} is ignored: is this the dataset of the config, converted '
                'as mmsegmentation asks, and does reduce_zero_label fit it?'
            )
        return results


@DATASETS.register_module(name='CheckedSegDataset')
def checked_dataset(dataset: dict) -> BaseDataset:
    """A dataset of mmsegmentation whose files are all there, and whose labels are looked at.

    Made like a wrapper: ``dict(type='CheckedSegDataset', dataset=dict(type='ADE20KDataset', …))``
    gives the ``ADE20KDataset`` itself. Its files must lie on a local disk. :class:`CheckLabels`
    follows each ``LoadAnnotations`` of its pipeline.

    An image that is broken, or whose label is, is left out and listed in the log; how many is in
    the dataset's ``left_out``. What is looked at are the two ends of each JPEG and PNG, which tell
    an empty file, one that is cut short and one that is no image.

    Args:
        dataset (dict): Config of a ``BaseSegDataset``.

    Raises:
        FileNotFoundError: If the root, one of the folders, the list of the split, an image of that
            list or a label is missing.
        ValueError: If the split is empty, or all of it broken.
    """
    dataset = copy.deepcopy(dataset)
    name, root = dataset['type'], dataset.get('data_root') or ''
    parts = [*dataset.get('data_prefix', {}).values(), dataset.get('ann_file')]
    for path in [root, *(osp.join(root, part) for part in parts if part)]:
        if path and not osp.exists(path):
            raise FileNotFoundError(
                f'{name} has nothing at {path}: prepare the data as docs/segmentation.md says, or '
                'set data_root of the dataset'
            )
    pipeline = dataset.pop('pipeline', [])
    built = DATASETS.build(dict(dataset, lazy_init=True))
    samples = built.load_data_list()
    if not samples:
        where = dataset.get('ann_file') or dataset.get('data_prefix', {}).get('img_path', '')
        raise InputError(
            f'{name} has no image in {osp.join(root, where)}: files are looked for that end in '
            f'{built.img_suffix} (img_suffix of the dataset)'
        )
    for sample in samples:
        for what, path in (('image', sample['img_path']), ('label', sample.get('seg_map_path'))):
            if path is not None and not osp.isfile(path):
                raise FileNotFoundError(
                    f'the {what} {path} is missing ({name}, {counted(len(samples), "image")})'
                )
    check = dict(
        type='CheckLabels',
        num_classes=len(built.metainfo['classes']),
        ignore_index=built.ignore_index,
    )
    steps = []
    for step in pipeline:
        steps += [step, check] if step['type'] == 'LoadAnnotations' else [step]
    kept, broken = _divide(samples)
    if not kept:
        raise InputError(f'{name} has no whole image: {broken[0]} is broken, as all others are')
    built = DATASETS.build(dict(dataset, pipeline=steps))
    built.left_out = len(samples) - len(kept)
    if broken:
        built.full_init()
        built.get_subset_(kept)
        print_log(
            f'{name}: left out {built.left_out} of {counted(len(samples), "image")}, for broken '
            f'files: {", ".join(broken)}.',
            logger='current',
            level=logging.WARNING,
        )
    return built


def _divide(samples: list[dict]) -> tuple[list[int], list[str]]:
    """Places of the samples whose files are whole, and the broken files of the others."""
    kept, broken = [], []
    for place, sample in enumerate(samples):
        paths = [path for path in (sample['img_path'], sample.get('seg_map_path')) if path]
        wrong = [path for path in paths if is_broken(path)]
        broken += wrong
        if not wrong:
            kept.append(place)
    return kept, broken


def is_broken(path: str) -> bool:
    """Whether a file is empty, or by its ending a JPEG or PNG and not a whole one."""
    starts, end = _ENDS.get(osp.splitext(path)[1].lower(), (b'', b''))
    with open(path, 'rb') as file:
        head = file.read(8)
        size = file.seek(0, 2)
        file.seek(max(size - _TAIL, 0))
        tail = file.read()
    return not size or not head.startswith(starts) or end not in tail
