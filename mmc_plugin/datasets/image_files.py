"""Plain image files for evaluation: no augmentation, optionally with a class per folder."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence

import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from ..errors import InputError
from ..structures.image_frame import centre_crop
from .image_tree import scan_tree
from .transforms.loading import LoadImage, UnreadableImageError


class ImageFiles(Dataset):
    """Images resized and centre-cropped as in the DINO release's k-NN evaluation.

    Args:
        paths (Sequence[str]): Image files.
        resize (int): Short side after bicubic resizing, in pixels.
        crop (int): Side of the centred square that is kept, in pixels.
    """

    def __init__(self, paths: Sequence[str], resize: int = 256, crop: int = 224) -> None:
        self.paths = list(paths)
        self.resize = resize
        self.crop = crop
        self._load = LoadImage()

    def __len__(self) -> int:
        return len(self.paths)

    def fingerprint(self) -> str:
        """SHA-256 of what the pixels follow from: the files (path, size, time) and the cut."""
        digest = hashlib.sha256(f'{self.resize} {self.crop}'.encode())
        for path in self.paths:
            status = os.stat(path) if os.path.exists(path) else None
            about = '' if status is None else f'{status.st_size} {status.st_mtime_ns}'
            digest.update(f'\0{path}\0{about}'.encode(errors='surrogateescape'))
        return digest.hexdigest()

    def __getitem__(self, index: int) -> tuple[Tensor, bool]:
        """One image.

        Returns:
            tuple[Tensor, bool]: uint8 RGB of shape (3, crop, crop), and whether the file could
            be read; if not, the image is black.
        """
        try:
            pixels = self._load(dict(img_path=self.paths[index]))['img']
        except UnreadableImageError:
            return torch.zeros(3, self.crop, self.crop, dtype=torch.uint8), False
        image = Image.fromarray(pixels[..., ::-1].copy())
        return centre_crop(image, self.resize, self.crop), True


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
    names, _, _ = scan_tree(root)
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
