"""COCO's photographs and masks, to click on."""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Callable, Sequence

import numpy as np
from mmpretrain.registry import DATASETS

from ..errors import InputError, RunError
from .prompt_dataset import PromptDataset, Targets, UnusableMasksError, collect_targets

try:
    from pycocotools import mask as coco_mask
except ImportError:  # an extra: only these data sets need it
    coco_mask = None


def decode_segmentation(segmentation: list | dict, height: int, width: int) -> np.ndarray:
    """Decode a mask in any of COCO's ways: polygons, run lengths as numbers or as text.

    Args:
        segmentation (list | dict): The annotation's ``segmentation``.
        height (int): Of the image.
        width (int): Of the image.

    Returns:
        np.ndarray: bool (height, width).

    Raises:
        UnusableMasksError: If it is none of them, or not of this size.
    """
    if isinstance(segmentation, list):
        encoded = [each for each in segmentation if isinstance(each, list) and len(each) >= 6]
        if not encoded:
            raise UnusableMasksError('it has no polygon of at least three corners')
        # pycocotools never returns from a corner that is NaN, and walks all the way to a far one.
        if not all(
            _is_within(corner, 10 * max(height, width)) for each in encoded for corner in each
        ):
            raise UnusableMasksError(
                'its polygon has a corner that is no number or lies far outside the image'
            )
    elif isinstance(segmentation, dict) and {'size', 'counts'} <= set(segmentation):
        if segmentation['size'] != [height, width]:
            raise UnusableMasksError(
                f'its mask has the size {segmentation["size"]}, the image {[height, width]}'
            )
        encoded = segmentation
        counts = encoded['counts']
        if isinstance(counts, list):
            if not all(isinstance(each, int) and each >= 0 for each in counts):
                raise UnusableMasksError('its run lengths are no numbers of pixels')
            if sum(counts) != height * width:
                raise UnusableMasksError(
                    f'its run lengths make {sum(counts)} pixels of {height * width}'
                )
    else:
        raise UnusableMasksError('its segmentation is neither polygons nor run lengths')
    try:
        if isinstance(encoded, list):
            runs = coco_mask.merge(coco_mask.frPyObjects(encoded, height, width))
        elif isinstance(encoded['counts'], list):
            runs = coco_mask.frPyObjects(encoded, height, width)
        else:
            runs = encoded
        return coco_mask.decode(runs).astype(bool)
    except Exception as error:
        # Foreign content meets C code here, which says ValueError, TypeError or Exception itself.
        raise UnusableMasksError(f'its mask cannot be decoded ({error})') from error


def _is_within(corner: object, limit: int) -> bool:
    return isinstance(corner, int | float) and abs(corner) <= limit  # False for NaN


@DATASETS.register_module()
class CocoPrompts(PromptDataset):
    """Images with annotations in COCO's format.

    Pixels of crowd annotations (``iscrowd``) are ignored for all targets of an image. Images
    without an annotation, or with crowds only, are left out.

    Args:
        data_root (str): The folder.
        ann_file (str): JSON file, below ``data_root``. Defaults to that of val2017.
        img_dir (str): Folder of the images, below ``data_root``. Defaults to 'val2017'.
        **kwargs: Of :class:`PromptDataset`.

    Raises:
        FileNotFoundError: A file or folder does not exist.
        ValueError: The file is not in COCO's format.
        RuntimeError: pycocotools is missing.
    """

    METAINFO = dict(dataset_type='CocoPrompts')

    def __init__(
        self,
        data_root: str,
        pipeline: Sequence[dict | Callable] = (),
        ann_file: str = 'annotations/instances_val2017.json',
        img_dir: str = 'val2017',
        **kwargs,
    ) -> None:
        if coco_mask is None:
            raise RunError('CocoPrompts needs pycocotools: pip install pycocotools.')
        self.annotation_path = ann_file
        self.img_dir = img_dir
        super().__init__(data_root, pipeline, **kwargs)

    def find_images(self) -> list[dict]:
        """Images with an annotation that is no crowd, in the order of the file."""
        path = os.path.join(self.data_root, self.annotation_path)
        content = _read(path)
        names = {each['id']: each['name'] for each in content['categories']}
        self.categories = list(names.values())
        label = {key: number for number, key in enumerate(names)}

        of_image = defaultdict(list)
        for number, each in enumerate(content['annotations']):
            if each.get('iscrowd') or each['category_id'] in label:
                of_image[each['image_id']].append(
                    dict(
                        id=each.get('id', number),
                        segmentation=each.get('segmentation'),
                        category=each['category_id'],
                        label=label.get(each['category_id'], -1),
                        crowd=bool(each.get('iscrowd')),
                    )
                )
        found = []
        for image in content['images']:
            annotations = of_image[image['id']]
            if not annotations:
                self._left_out['without annotations'] += 1
            elif all(each['crowd'] for each in annotations):
                self._left_out['with crowds only'] += 1
            else:
                found.append(
                    dict(
                        img_path=os.path.join(self.data_root, self.img_dir, image['file_name']),
                        image_key=image['id'],
                        height=image['height'],
                        width=image['width'],
                        annotations=annotations,
                    )
                )
        return found

    def load_targets(self, info: dict) -> Targets:
        """Decode the masks of an image; annotations that cannot be decoded are left out."""
        shape = info['height'], info['width']
        ignore = np.zeros(shape, bool)
        masks: dict[tuple[int, int], np.ndarray] = {}
        left_out = []
        for each in info['annotations']:
            try:
                mask = decode_segmentation(each['segmentation'], *shape)
            except UnusableMasksError as error:
                left_out.append(f'annotation {each["id"]}: {error}')
                continue
            if each['crowd']:
                ignore |= mask
                continue
            key = each['label'], each['category'] if self.by == 'category' else each['id']
            masks[key] = masks[key] | mask if key in masks else mask
        found = [
            (label, key, mask)
            for (label, key), mask in sorted(masks.items(), key=lambda item: item[0])
        ]
        return collect_targets(found, ignore, left_out)


_FIELDS = dict(
    images=dict(id=int, file_name=str, height=int, width=int),
    annotations=dict(image_id=int, category_id=int),
    categories=dict(id=int, name=str),
)


def _read(path: str) -> dict:
    try:
        with open(path, encoding='utf-8') as file:
            content = json.load(file)
    except FileNotFoundError:
        raise FileNotFoundError(
            f'The annotations {path!r} do not exist; set data_root to the '
            'folder of COCO, or ann_file.'
        ) from None
    except ValueError as error:
        raise InputError(f'The annotations {path!r} are no JSON ({error}).') from error
    parts = ('images', 'annotations', 'categories')
    missing = [part for part in parts if not isinstance(content, dict) or part not in content]
    if missing:
        raise InputError(
            f"The annotations {path!r} are not in COCO's format: they have no "
            f'{" and no ".join(missing)}.'
        )
    for part, fields in _FIELDS.items():
        for number, each in enumerate(content[part]):
            wrong = [
                name
                for name, kind in fields.items()
                if not isinstance(each, dict) or not isinstance(each.get(name), kind)
            ]
            if wrong:
                raise InputError(
                    f"The annotations {path!r} are not in COCO's format: number "
                    f'{number} of {part!r} has no usable {" and no ".join(wrong)}.'
                )
    return content
