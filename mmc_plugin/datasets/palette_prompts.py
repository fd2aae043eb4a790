"""Photographs with palette masks (Pascal VOC, DAVIS), to click on."""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable, Sequence

import numpy as np
from mmpretrain.registry import DATASETS
from PIL import Image

from ..errors import InputError
from .prompt_dataset import PromptDataset, Targets, UnusableMasksError, collect_targets

VOC_CLASSES = (
    'aeroplane', 'bicycle', 'bird', 'boat', 'bottle', 'bus', 'car', 'cat', 'chair', 'cow',
    'diningtable', 'dog', 'horse', 'motorbike', 'person', 'pottedplant', 'sheep', 'sofa', 'train',
    'tvmonitor')  # fmt: skip
_VOID = 255


def read_palette(path: str) -> np.ndarray:
    """Read a mask of indices.

    Returns:
        np.ndarray: uint8 (H, W).

    Raises:
        UnusableMasksError: If the file cannot be read or is no image of indices.
    """
    try:
        with Image.open(path) as image:
            mode, values = image.mode, np.asarray(image)
    except (OSError, SyntaxError) as error:  # Pillow says the latter of broken PNG files
        raise UnusableMasksError(f'its mask {path!r} cannot be read ({error})') from error
    if mode not in ('P', 'L', '1'):
        raise UnusableMasksError(f'its mask {path!r} has colours (mode {mode}), not indices')
    return values.astype(np.uint8)


def read_names(path: str) -> list[str]:
    """Lines of a file that are not empty.

    Raises:
        FileNotFoundError: If there is no such file.
    """
    try:
        with open(path, encoding='utf-8') as file:
            return [line.split()[0] for line in file if line.strip()]
    except FileNotFoundError:
        raise FileNotFoundError(
            f'The list {path!r} does not exist; set data_root to the folder above it, or split.'
        ) from None


@DATASETS.register_module()
class VocPrompts(PromptDataset):
    """Pascal VOC 2012 segmentation; pixels of index 255 are ignored.

    Args:
        data_root (str): ``VOCdevkit/VOC2012``, with ``JPEGImages``, ``SegmentationClass``,
            ``ImageSets/Segmentation`` and, for ``by='instance'``, ``SegmentationObject``.
        split (str): Name of a list in ``ImageSets/Segmentation``. Defaults to 'val'.
        **kwargs: Of :class:`PromptDataset`.
    """

    METAINFO = dict(dataset_type='VocPrompts')

    def __init__(
        self, data_root: str, pipeline: Sequence[dict | Callable] = (), split: str = 'val', **kwargs
    ) -> None:
        self.split = split
        super().__init__(data_root, pipeline, **kwargs)

    def find_images(self) -> list[dict]:
        """All images of the split; whether they have masks shows when these are read."""
        self.categories = list(VOC_CLASSES)
        names = read_names(
            os.path.join(self.data_root, 'ImageSets', 'Segmentation', f'{self.split}.txt')
        )
        return [
            dict(
                img_path=os.path.join(self.data_root, 'JPEGImages', f'{name}.jpg'),
                image_key=zlib.crc32(name.encode()),
                name=name,
            )
            for name in names
        ]

    def load_targets(self, info: dict) -> Targets:
        """Parts of the masks by their index; the class of an instance is that of its pixels."""
        classes, objects = (
            read_palette(os.path.join(self.data_root, folder, f'{info["name"]}.png'))
            if folder is not None
            else None
            for folder in (
                'SegmentationClass',
                'SegmentationObject' if self.by == 'instance' else None,
            )
        )
        ignore = classes == _VOID
        parts = classes if objects is None else objects
        if parts.shape != classes.shape:
            raise UnusableMasksError('its two masks differ in size')
        found, left_out = [], []
        for index in np.unique(parts[~ignore]):
            if index in (0, _VOID):
                continue
            mask = parts == index
            label = int(np.bincount(classes[mask & ~ignore]).argmax())
            if 1 <= label <= len(VOC_CLASSES):
                found.append((label - 1, int(index), mask))
            else:
                left_out.append(f'target {index}: VOC has no class {label}')
        return collect_targets(found, ignore, left_out)


@DATASETS.register_module()
class DavisFramePrompts(PromptDataset):
    """Frames of DAVIS-2017, each on its own; a category is an object of a sequence.

    Args:
        data_root (str): With ``JPEGImages/480p``, ``Annotations/480p`` and ``ImageSets/2017``.
        split (str): Name of a list in ``ImageSets/2017``. Defaults to 'val'.
        interval (int): Take every so many frames. Defaults to 10.
        **kwargs: Of :class:`PromptDataset`; ``by`` makes no difference here.
    """

    METAINFO = dict(dataset_type='DavisFramePrompts')

    def __init__(
        self,
        data_root: str,
        pipeline: Sequence[dict | Callable] = (),
        split: str = 'val',
        interval: int = 10,
        **kwargs,
    ) -> None:
        if interval < 1:
            raise InputError(f'interval must be at least 1, got {interval}.')
        self.split = split
        self.interval = interval
        super().__init__(data_root, pipeline, **kwargs)

    def find_images(self) -> list[dict]:
        """Every ``interval``-th frame of each sequence of the split."""
        found = []
        folder = os.path.join(self.data_root, 'JPEGImages', '480p')
        names = read_names(os.path.join(self.data_root, 'ImageSets', '2017', f'{self.split}.txt'))
        for name in names:
            if not os.path.isdir(os.path.join(folder, name)):
                raise FileNotFoundError(
                    f'The sequence {name} of the split {self.split} has no '
                    f'folder {os.path.join(folder, name)!r}.'
                )
            frames = sorted(os.listdir(os.path.join(folder, name)))
            frames = [each for each in frames if each.endswith('.jpg')]
            # An object of any frame has its place among the categories before frames are read.
            first = len(self.categories)
            masks = os.path.join(self.data_root, 'Annotations', '480p', name)
            highest = self._objects(masks, frames)
            self.categories += [f'{name}/{index}' for index in range(1, highest + 1)]
            for frame in frames[:: self.interval]:
                stem = os.path.splitext(frame)[0]
                found.append(
                    dict(
                        img_path=os.path.join(folder, name, frame),
                        first=first,
                        highest=highest,
                        image_key=zlib.crc32(f'{name}/{stem}'.encode()),
                        mask_path=os.path.join(masks, f'{stem}.png'),
                    )
                )
        return found

    @staticmethod
    def _objects(folder: str, frames: list[str]) -> int:
        """Number of objects of a sequence: all that count are in its first frame."""
        if not frames:
            return 0
        path = os.path.join(folder, f'{os.path.splitext(frames[0])[0]}.png')
        try:
            values = read_palette(path)
        except UnusableMasksError as error:
            raise InputError(f'The first mask of a sequence is needed: {error}.') from error
        return int(values[values != _VOID].max(initial=0))

    def load_targets(self, info: dict) -> Targets:
        """Each object's mask."""
        values = read_palette(info['mask_path'])
        found = [
            (info['first'] + index - 1, index, values == index)
            for index in range(1, info['highest'] + 1)
            if (values == index).any()
        ]
        return collect_targets(found, values == _VOID)
