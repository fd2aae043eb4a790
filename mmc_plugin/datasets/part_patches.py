"""Patches of parts of objects, cut around keypoints (arXiv 2301.11915)."""

from __future__ import annotations

import json
import logging
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mmengine.logging import print_log
from mmpretrain.registry import DATASETS

from ..errors import InputError
from .image_files import ImageFiles
from .image_sets import ImageSource
from .transforms.image_headers import UndecodableError
from .transforms.jpeg_headers import read_jpeg_header

# The study's parts [release of arXiv 2301.11915], ids from 1 as in the annotations.
COCO_PARTS = {'nose': 1, 'right_wrist': 11, 'left_ankle': 16}
CUB_PARTS = {'right eye': 11, 'right leg': 12, 'left wing': 9, 'tail': 14}
_LIMITS = 20, 1000  # pixels that half of a distance is between, exclusively [release]
_HEADER = 1 << 16  # bytes of a JPEG that its size is looked for in
NEIGHBOURS = ('person', 'image')


@dataclass
class Keypoint:
    """A part that is seen: its place (x, y) in pixels, its name, and whose it is."""

    x: float
    y: float
    part: str
    owner: int


@dataclass
class PhotoParts:
    """An image file with its size in pixels, if known, and the keypoints that were chosen."""

    path: str
    size: tuple[int, int] | None = None
    keypoints: list[Keypoint] = field(default_factory=list)


class PartPatches(ImageSource):
    """Squares around keypoints, as images whose label is the part.

    A square's side is ``side`` times the distance d to the nearest other chosen keypoint; what
    lies outside the image is black. Keypoints without a neighbour, outside of their image, and
    with d/2 not between 20 and 1000 pixels are left out; ``left_out`` counts each kind.

    Args:
        photos (Sequence[PhotoParts]): Images and their chosen keypoints.
        parts (Sequence[str]): Names of the parts, in the order of their labels.
        side (float): 0.5 [release of arXiv 2301.11915] or 1 [its text].
        neighbours (str): Whose keypoints d is measured to: those of the same ``'person'`` (or
            bird), as the release does in effect, or all of the ``'image'``.
        fit (str, optional): How patches are brought to the size of the network: ``'stretch'``, or
            ``'crop'``, which is the study's in the training of part classification. Defaults to
            None: as the model says.
        max_images (int, optional): Take at most so many patches, evenly drawn.
        where (str): What is read, for messages.
        skipped (Mapping[str, int], optional): What the reader left out, and how often.

    Raises:
        ValueError: If a setting is another, or a part has no patch.
    """

    def __init__(
        self,
        photos: Sequence[PhotoParts],
        parts: Sequence[str],
        side: float,
        neighbours: str,
        fit: str | None,
        max_images: int | None,
        where: str,
        skipped: Mapping[str, int] | None = None,
    ) -> None:
        if side not in (0.5, 1) or neighbours not in NEIGHBOURS:
            raise InputError(
                f"side must be 0.5 or 1 and neighbours 'person' or 'image', got {side} and "
                f'{neighbours!r}.'
            )
        left_out = dict(skipped or {}) | dict.fromkeys(
            ('outside the image', 'without another part', 'too near or too far'), 0
        )
        paths, labels, boxes = [], [], []
        for photo in photos:
            points = [each for each in photo.keypoints if _inside(each, photo.size)]
            left_out['outside the image'] += len(photo.keypoints) - len(points)
            for point in points:
                others = [
                    math.dist((point.x, point.y), (each.x, each.y))
                    for each in points
                    if each is not point and (neighbours == 'image' or each.owner == point.owner)
                ]
                if not others:
                    left_out['without another part'] += 1
                    continue
                distance = min(others)
                if not _LIMITS[0] < distance / 2 < _LIMITS[1]:
                    left_out['too near or too far'] += 1
                    continue
                half = round(side * distance / 2)
                paths.append(photo.path)
                labels.append(list(parts).index(point.part))
                boxes.append((point.x - half, point.y - half, point.x + half, point.y + half))
        without = [name for i, name in enumerate(parts) if i not in set(labels)]
        if without:
            told = ', '.join(f'{number} {what}' for what, number in left_out.items() if number)
            raise InputError(
                f'{where} has no patch of the part {", ".join(without)} (left out: '
                f'{told or "nothing"}): is it whole, and of the right data set?'
            )
        self.left_out = {what: number for what, number in left_out.items() if number}
        self.fit = fit
        if self.left_out:
            told = ', '.join(f'{number} {what}' for what, number in self.left_out.items())
            print_log(f'{where}: {len(paths)} patches; left out: {told}.', 'current', logging.INFO)
        absent = sorted({path for path in paths if not os.path.isfile(path)})
        if len(absent) == len(set(paths)):
            raise FileNotFoundError(
                f'The images of {where} are not where they should be: there is no {absent[0]!r}.'
            )
        gone = set(absent)
        here = [i for i, path in enumerate(paths) if path not in gone]
        super().__init__(
            [paths[i] for i in here],
            [labels[i] for i in here],
            parts,
            max_images,
            [boxes[i] for i in here],
            absent=absent,
        )

    def images(self, resize: int, crop: int, fit: str = 'stretch') -> ImageFiles:
        """The patches as a network sees them."""
        return super().images(resize, crop, self.fit or fit)


def _inside(point: Keypoint, size: tuple[int, int] | None) -> bool:
    width, height = size or (math.inf, math.inf)
    return 0 <= point.x < width and 0 <= point.y < height


@DATASETS.register_module()
class CocoParts(PartPatches):
    """Patches of people's parts in COCO (arXiv 2301.11915): nose, right wrist, left ankle.

    Keypoints with v = 2 of people that have at least two of the parts so.

    Args:
        data_root (str): Folder of COCO.
        ann_file (str): Person keypoints, below it.
        img_dir (str): Images, below it.
        side (float): See :class:`PartPatches`.
        neighbours (str): Likewise.
        fit (str, optional): Likewise.
        max_images (int, optional): Likewise.

    Raises:
        FileNotFoundError: If the annotations, or all images, are not there.
        ValueError: If the file is no such annotations.
    """

    def __init__(
        self,
        data_root: str,
        ann_file: str,
        img_dir: str,
        side: float = 0.5,
        neighbours: str = 'person',
        fit: str | None = None,
        max_images: int | None = None,
    ) -> None:
        root = os.path.expanduser(data_root)
        path = os.path.join(root, ann_file)
        if not os.path.isfile(path):
            raise FileNotFoundError(
                f'There are no annotations {path!r}; set COCO_KEYPOINTS_ROOT, or data_root of the '
                'set, to the folder that holds annotations/person_keypoints_train2017.json and '
                'the images.'
            )
        try:
            with open(path, encoding='utf-8') as file:
                content = json.load(file)
            photos, alone = _coco_photos(content, os.path.join(root, img_dir))
        except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
            raise InputError(
                f'{path} is no file of person keypoints of COCO ({error!r}): it needs images with '
                'id, file_name, width and height, and annotations with id, image_id and 17 '
                'keypoints (x, y, v). Is it the one of instances?'
            ) from None
        super().__init__(photos, list(COCO_PARTS), side, neighbours, fit, max_images, path,
                         {'of people with one visible part': alone})  # fmt: skip


def _coco_photos(content: dict[str, Any], folder: str) -> tuple[list[PhotoParts], int]:
    """Images with chosen keypoints, and how many keypoints belong to people with no other."""
    photos = {
        each['id']: PhotoParts(
            os.path.join(folder, each['file_name']), (int(each['width']), int(each['height']))
        )
        for each in content['images']
    }
    alone = 0
    for person in content['annotations']:
        flat = person['keypoints']
        points = [
            Keypoint(float(flat[3 * i - 3]), float(flat[3 * i - 2]), part, person['id'])
            for part, i in COCO_PARTS.items()
            if flat[3 * i - 1] == 2
        ]
        if len(points) > 1:
            photos[person['image_id']].keypoints += points
        else:
            alone += len(points)
    return list(photos.values()), alone


@DATASETS.register_module()
class CubParts(PartPatches):
    """Patches of birds' parts in CUB-200-2011 (arXiv 2301.11915): right eye and leg, wing, tail.

    Args:
        data_root (str): The unpacked ``CUB_200_2011``, or the folder that holds it.
        split (str): ``'train'``, ``'test'`` or ``'all'``.
        side (float): See :class:`PartPatches`.
        neighbours (str): Likewise; there is one bird in an image.
        fit (str, optional): Likewise.
        max_images (int, optional): Likewise.

    Raises:
        FileNotFoundError: If a file of the data set is not there.
        ValueError: If a line of one is another than it should be.
    """

    def __init__(
        self,
        data_root: str,
        split: str = 'all',
        side: float = 0.5,
        neighbours: str = 'person',
        fit: str | None = None,
        max_images: int | None = None,
    ) -> None:
        if split not in ('train', 'test', 'all'):
            raise InputError(f"split must be 'train', 'test' or 'all', got {split!r}.")
        root = os.path.expanduser(data_root)
        inner = os.path.join(root, 'CUB_200_2011')
        root = inner if os.path.isdir(inner) else root
        images = dict(_rows(root, 'images.txt', 2))
        wanted = dict(all=('0', '1'), train=('1',), test=('0',))[split]
        chosen = {i for i, each in _rows(root, 'train_test_split.txt', 2) if each in wanted}
        names = {str(number): name for name, number in CUB_PARTS.items()}
        photos = {i: PhotoParts(os.path.join(root, 'images', name)) for i, name in images.items()
                  if i in chosen}  # fmt: skip
        for line, (i, part, x, y, visible) in enumerate(
            _rows(root, os.path.join('parts', 'part_locs.txt'), 5), 1
        ):
            if i in photos and part in names and visible == '1':
                try:
                    point = Keypoint(float(x), float(y), names[part], int(i))
                except ValueError:
                    raise InputError(
                        f'Line {line} of {os.path.join(root, "parts", "part_locs.txt")} has no '
                        f'numbers x and y: {x!r}, {y!r}.'
                    ) from None
                photos[i].keypoints.append(point)
        for photo in photos.values():
            photo.size = _jpeg_size(photo.path) if photo.keypoints else None
        super().__init__(list(photos.values()), list(CUB_PARTS), side, neighbours, fit, max_images,
                         f'{root} ({split})')  # fmt: skip


def _jpeg_size(path: str) -> tuple[int, int] | None:
    """Width and height of a photograph by its header; None where that cannot be read."""
    try:
        with open(path, 'rb') as file:
            header = read_jpeg_header(file.read(_HEADER))
    except (OSError, UndecodableError):  # who decodes it says why
        return None
    return None if header is None else (header.width, header.height)


def _rows(root: str, name: str, columns: int) -> list[list[str]]:
    """Lines of a file of CUB, split at spaces."""
    path = os.path.join(root, name)
    if not os.path.isfile(path):
        raise FileNotFoundError(
            f'There is no {path!r}; set CUB_ROOT, or data_root of the set, to the folder '
            'CUB_200_2011 with images.txt, train_test_split.txt, parts/part_locs.txt and images/, '
            'or to the one that holds it.'
        )
    with open(path, encoding='utf-8', errors='surrogateescape') as file:
        rows = [line.split() for line in file if line.strip()]
    for number, row in enumerate(rows, 1):
        if len(row) != columns:
            raise InputError(
                f'Line {number} of {path} has {len(row)} entries where CUB-200-2011 has {columns}.'
            )
    return rows
