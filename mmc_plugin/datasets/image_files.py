"""Plain image files for evaluation: no augmentation, optionally with a class per folder."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from ..errors import InputError
from ..structures.image_frame import place_image
from .image_tree import scan_images
from .transforms.loading import LoadImage, UnreadableImageError


class ImageFiles(Dataset):
    """Images as a network sees them, by default as in the DINO release's k-NN evaluation.

    Args:
        paths (Sequence[str]): Image files.
        resize (int): Short side after bicubic resizing, in pixels; for ``'crop'``.
        crop (int): Side of the square that a network sees, in pixels; for ``'long'`` the most
            pixels of the longer side.
        fit (str): See :class:`~mmc_plugin.structures.image_frame.ImageFrame`; defaults to 'crop'.
        boxes (Sequence, optional): For each image the part of it that is looked at (left, top,
            right, bottom), in pixels, or None for all of it.
    """

    def __init__(
        self,
        paths: Sequence[str],
        resize: int = 256,
        crop: int = 224,
        fit: str = 'crop',
        boxes: Sequence[tuple[float, float, float, float] | None] | None = None,
    ) -> None:
        self.paths = list(paths)
        self.resize = resize
        self.crop = crop
        self.fit = fit
        self.boxes = [None] * len(self.paths) if boxes is None else list(boxes)
        self._load = LoadImage()

    def __len__(self) -> int:
        return len(self.paths)

    def sources(self) -> list[str]:
        """The files that the pixels come from."""
        return self.paths

    def fingerprint(self) -> str:
        """SHA-256 of what the pixels follow from: the files (path, size, time) and the cut."""
        digest = hashlib.sha256(f'{self.resize} {self.crop} {self.fit}'.encode())
        for path, box in zip(self.paths, self.boxes, strict=True):
            digest.update(f'\0{path}\0{box}'.encode(errors='surrogateescape'))
        for path in self.sources():
            status = os.stat(path) if os.path.exists(path) else None
            about = '' if status is None else f'{status.st_size} {status.st_mtime_ns}'
            digest.update(f'\0{path}\0{about}'.encode(errors='surrogateescape'))
        return digest.hexdigest()

    def photograph(self, index: int) -> Image.Image:
        """One image, or its box, before the cut.

        Raises:
            UnreadableImageError: If the file cannot be read.
        """
        pixels = self._load(dict(img_path=self.paths[index]))['img']
        image = Image.fromarray(pixels[..., ::-1].copy())
        return image if self.boxes[index] is None else image.crop(self.boxes[index])

    def __getitem__(self, index: int) -> tuple[Tensor, bool]:
        """One image.

        Returns:
            tuple[Tensor, bool]: uint8 RGB of shape (3, crop, crop), or for ``'long'`` (3, H, W),
            and whether the file could be read; if not, the image is black.
        """
        try:
            image = self.photograph(index)
        except UnreadableImageError:
            return torch.zeros(3, self.crop, self.crop, dtype=torch.uint8), False
        return place_image(image, self.resize, self.crop, self.fit), True


class ImageArrays(ImageFiles):
    """Images that lie decoded in memory.

    Args:
        pixels (np.ndarray): uint8 RGB (N, H, W, 3).
        names (Sequence[str]): N names of them, for reports.
        files (Sequence[str]): The files that they were read from.
        resize (int): As in :class:`ImageFiles`.
        crop (int): Likewise.
        fit (str): Likewise.
    """

    def __init__(
        self,
        pixels: np.ndarray,
        names: Sequence[str],
        files: Sequence[str],
        resize: int = 256,
        crop: int = 224,
        fit: str = 'crop',
    ) -> None:
        super().__init__(names, resize, crop, fit)
        self.pixels = pixels
        self._files = list(files)

    def sources(self) -> list[str]:
        """The files that the pixels come from."""
        return self._files

    def photograph(self, index: int) -> Image.Image:
        """One image before the cut."""
        return Image.fromarray(self.pixels[index])


def scan_labelled(
    root: str, classes: Sequence[str] | None = None
) -> tuple[list[str], list[int], list[str]]:
    """Image files of a folder that holds one folder per class.

    Args:
        root (str): The folder; class folders may nest.
        classes (Sequence[str], optional): Class names in the order of their labels; by default
            the sorted names of the class folders.

    Returns:
        tuple[list[str], list[int], list[str]]: Paths, their labels, and the class names.

    Raises:
        FileNotFoundError: If the folder does not exist.
        ValueError: If it has no class folder with an image, or one that ``classes`` lacks.
    """
    if not os.path.isdir(root):
        raise FileNotFoundError(
            f'There is no folder {root!r} with labelled images (one folder per class).'
        )
    names = scan_images(root)
    found: dict[str, list[str]] = {}
    for name in names:
        top, *deeper = name.split(os.sep)
        if deeper:
            found.setdefault(top, []).append(os.path.join(root, name))
    if not found:
        raise InputError(
            f'The folder {root!r} has no class folders with images; labelled images '
            'must lie as CLASS/NAME.jpg.'
        )
    classes = sorted(found) if classes is None else list(classes)
    unknown = sorted(set(found) - set(classes))
    if unknown:
        raise InputError(
            f'The folder {root!r} has classes that the training folder lacks: '
            f'{", ".join(unknown[:5])}.'
        )
    label = {name: number for number, name in enumerate(classes)}
    paths = [path for each in found.values() for path in each]
    labels = [label[name] for name, each in found.items() for _ in each]
    return paths, labels, classes
