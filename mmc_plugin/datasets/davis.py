"""Videos with masks of their objects, in the layout of DAVIS-2017."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from mmengine.dataset import BaseDataset
from mmengine.logging import print_log
from mmengine.structures import BaseDataElement
from mmpretrain.registry import DATASETS
from PIL import Image

from ..errors import InputError
from ..wording import counted
from .palette_prompts import read_names, read_palette
from .prompt_dataset import UnusableMasksError
from .transforms.loading import LoadImage

VOID = 255


@dataclass(frozen=True)
class VideoClip:
    """A video on the disk, with the mask of its first frame.

    Iterating gives its frames one after another, uint8 RGB (H, W, 3), and raises
    :class:`UnreadableImageError` for one that cannot be read.

    Attributes:
        frames: Paths of T images.
        first_mask: uint8 (H, W), 0 for the background.
    """

    frames: tuple[str, ...]
    first_mask: np.ndarray

    def __len__(self) -> int:
        return len(self.frames)

    def __iter__(self) -> Iterator[np.ndarray]:
        load = LoadImage()
        return (load(dict(img_path=path))['img'][..., ::-1] for path in self.frames)


def read_objects(path: str) -> np.ndarray:
    """A mask of objects, in which void is background: so the official evaluation of 2017 does.

    Returns:
        np.ndarray: uint8 (H, W).

    Raises:
        UnusableMasksError: If the file cannot be read or is no image of indices.
    """
    values = read_palette(path)
    return np.where(values == VOID, 0, values).astype(np.uint8)


@DATASETS.register_module()
class DavisVideos(BaseDataset):
    """The sequences of DAVIS-2017, each with all of its frames and masks.

    A sample has ``inputs``, a :class:`VideoClip`, and ``data_samples`` with, as metainfo,
    ``sequence``, ``sample_idx``, ``frame_paths``, ``mask_paths`` and ``skipped``. A sequence that
    cannot be used has the reason in ``skipped`` (path, reason), and None as its input, so that an
    evaluation goes on and counts it.

    Args:
        data_root (str): With ``JPEGImages/480p``, ``Annotations/480p`` and ``ImageSets/2017``.
        split (str): Name of a list in ``ImageSets/2017``. Defaults to 'val'.

    Raises:
        FileNotFoundError: ``data_root`` or the list does not exist.
        ValueError: The list is empty.
    """

    METAINFO = dict(dataset_type='DavisVideos')

    def __init__(self, data_root: str, split: str = 'val') -> None:
        self.split = split
        root = os.path.expanduser(data_root) if data_root else ''
        super().__init__(data_root=root, test_mode=True)

    def load_data_list(self) -> list[dict]:
        """The sequences of the list; whether they can be used shows when they are wanted."""
        if not os.path.isdir(self.data_root):
            raise FileNotFoundError(
                f'data_root: the folder {self.data_root!r} does not exist; set '
                'test_dataloader.dataset.data_root, or the environment variable that the config '
                f'reads it from, to the folder of {type(self).__name__}.'
            )
        path = os.path.join(self.data_root, 'ImageSets', '2017', f'{self.split}.txt')
        names = list(dict.fromkeys(read_names(path)))
        if not names:
            raise InputError(f'The list {path!r} names no sequence: write one a line.')
        print_log(f'{self.data_root!r}: {counted(len(names), "sequence")}.', logger='current')
        return [dict(sequence=name) for name in names]

    def prepare_data(self, idx: int) -> dict:
        """Find the files of a sequence, check that they fit together, read its first mask."""
        name = self.get_data_info(idx)['sequence']
        frames, masks = (
            Path(self.data_root, folder, '480p', name) for folder in ('JPEGImages', 'Annotations')
        )
        about = dict(sequence=name, sample_idx=idx, skipped=None, frame_paths=[], mask_paths=[])
        clip = None
        try:
            frame_paths, mask_paths = _pairs(frames, masks)
            _check_sizes(frame_paths, mask_paths)
            clip = VideoClip(tuple(frame_paths), read_objects(mask_paths[0]))
            if not clip.first_mask.any():
                raise UnusableMasksError(f'the first mask {mask_paths[0]!r} has no object')
            about.update(frame_paths=frame_paths, mask_paths=mask_paths)
        except UnusableMasksError as error:
            clip, about['skipped'] = None, (str(frames), str(error))
        return dict(inputs=clip, data_samples=BaseDataElement(metainfo=about))


def _pairs(frames: Path, masks: Path) -> tuple[list[str], list[str]]:
    """Paths of the frames and of their masks, in order of their names."""
    found = []
    for folder, ending in ((frames, '.jpg'), (masks, '.png')):
        if not folder.is_dir():
            raise UnusableMasksError(f'the folder {str(folder)!r} does not exist')
        found.append({path.stem for path in folder.iterdir() if path.suffix.lower() == ending})
    for have, want, what in ((*found, 'frame'), (*found[::-1], 'mask')):
        if want - have:
            raise UnusableMasksError(
                f'{len(want - have)} of its {what}s are missing, the first is {min(want - have)}'
            )
    names = sorted(found[0])
    if len(names) < 3:
        raise UnusableMasksError(
            f'it has {len(names)} frames: the first and the last one are not scored, so that at '
            'least three are needed'
        )
    return [str(frames / f'{name}.jpg') for name in names], [
        str(masks / f'{name}.png') for name in names
    ]


def _check_sizes(frame_paths: list[str], mask_paths: list[str]) -> None:
    """Compare what the headers of all files say."""
    first = None
    for path in (*frame_paths, *mask_paths):
        try:
            with Image.open(path) as image:
                size = image.size
        except (OSError, SyntaxError) as error:  # Pillow says the latter of broken PNG files
            raise UnusableMasksError(f'{path!r} cannot be read ({error})') from error
        first = first or size
        if size != first:
            raise UnusableMasksError(
                f'{path!r} has {size[0]}×{size[1]} pixels, the first frame {first[0]}×{first[1]}'
            )
