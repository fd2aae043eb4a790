"""CIFAR-10 and CIFAR-100 in the files of their release, Python pickles or binary."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from mmpretrain.registry import DATASETS

from ..errors import InputError
from .image_sets import ImageSource
from .plain_pickles import read_plain_pickle

# Folder of the pickles and of the binary files, files by split, key of the labels, label bytes.
_LAYOUT = {
    10: dict(
        pickles='cifar-10-batches-py',
        binary='cifar-10-batches-bin',
        files=dict(train=[f'data_batch_{i}' for i in range(1, 6)], test=['test_batch']),
        key='labels',
        label_bytes=1,
    ),
    100: dict(
        pickles='cifar-100-python',
        binary='cifar-100-binary',
        files=dict(train=['train'], test=['test']),
        key='fine_labels',
        label_bytes=2,  # the coarse one first
    ),
}
_PIXELS = 3 * 32 * 32


@DATASETS.register_module()
class CifarImages(ImageSource):
    """CIFAR's images of 32² pixels, read without running code from their pickles.

    Args:
        data_root (str): Folder with ``cifar-10-batches-py`` (``cifar-100-python``) or the binary
            ``cifar-10-batches-bin`` (``cifar-100-binary``), or one of these itself.
        split (str): ``'train'`` or ``'test'``.
        classes (int): 10 or 100. Defaults to 10.
        max_images (int, optional): Take at most so many, evenly drawn.

    Raises:
        FileNotFoundError: If the files are not there.
        ValueError: If they are not CIFAR's, or one would run code.
    """

    def __init__(
        self, data_root: str, split: str, classes: int = 10, max_images: int | None = None
    ) -> None:
        if classes not in _LAYOUT or split not in ('train', 'test'):
            raise InputError(
                f"CifarImages has 10 or 100 classes and the splits 'train' and 'test', got "
                f'{classes} and {split!r}.'
            )
        layout = _LAYOUT[classes]
        folder, binary = _find(os.path.expanduser(data_root), layout)
        ending = '.bin' if binary else ''
        files = [os.path.join(folder, name + ending) for name in layout['files'][split]]
        read = _read_binary if binary else _read_pickle
        parts = [read(path, layout) for path in files]
        names = [f'{path}#{i}' for path, (part, _) in zip(files, parts) for i in range(len(part))]
        pixels = np.concatenate([part for part, _ in parts]).reshape(-1, 3, 32, 32)
        labels = np.concatenate([label for _, label in parts]).tolist()
        if not labels or not 0 <= min(labels) <= max(labels) < classes:
            raise InputError(f'The labels in {folder!r} are not 0 to {classes - 1}.')
        super().__init__(
            names,
            labels,
            max_images=max_images,
            pixels=np.ascontiguousarray(pixels.transpose(0, 2, 3, 1)),
            files=files,
        )


def _find(root: str, layout: dict[str, Any]) -> tuple[str, bool]:
    """The folder of the files, and whether they are binary."""
    for key in ('pickles', 'binary'):
        inside = os.path.join(root, layout[key])
        for folder in (inside, root if os.path.basename(root.rstrip('/')) == layout[key] else ''):
            if folder and os.path.isdir(folder):
                return folder, key == 'binary'
    raise FileNotFoundError(
        f'data_root: there is neither {layout["pickles"]} nor {layout["binary"]} in {root!r}: '
        'unpack the archive of CIFAR there, or set the data_root of each set in '
        'test_dataloader.dataset.sets, or the environment variable that the config reads it from.'
    )


def _read_pickle(path: str, layout: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    content = read_plain_pickle(path)
    content = content if isinstance(content, dict) else {}
    # Python 3 reads the texts of the release as bytes, and some save them like that again.
    content = {key.decode() if isinstance(key, bytes) else key: content[key] for key in content}
    pixels, labels = content.get('data'), content.get(layout['key'])
    if (
        not isinstance(pixels, np.ndarray)
        or pixels.dtype != np.uint8
        or pixels.shape[1:] != (_PIXELS,)
        or not isinstance(labels, list)
        or len(labels) != len(pixels)
        or not all(isinstance(label, int) for label in labels)
    ):
        raise InputError(
            f'{path} is no batch of CIFAR: it needs data, uint8 (N, {_PIXELS}), and N '
            f'{layout["key"]}.'
        )
    return pixels, np.array(labels, np.int64)


def _read_binary(path: str, layout: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    record = layout['label_bytes'] + _PIXELS
    content = np.fromfile(path, np.uint8)
    if not len(content) or len(content) % record:
        raise InputError(
            f'{path} is cut short or no batch of CIFAR: {len(content)} bytes are no whole number '
            f'of records of {record}.'
        )
    rows = content.reshape(-1, record)
    return rows[:, layout['label_bytes'] :], rows[:, layout['label_bytes'] - 1].astype(np.int64)
