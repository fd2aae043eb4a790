"""Labelled images in any format, for evaluations that need no masks."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from mmpretrain.registry import DATASETS
from torch.utils.data import Dataset

from ..errors import InputError, UserError
from .image_files import ImageArrays, ImageFiles, scan_labelled
from .image_tree import scan_images
from .imagenet100 import imagenet100_wnids


class ImageSource:
    """Images and their labels, wherever they come from.

    Args:
        paths (Sequence[str]): N files, or names of images that ``pixels`` holds.
        labels (Sequence[int]): N labels.
        classes (Sequence[str], optional): What each label is called; None where only the number
            is known.
        max_images (int, optional): Take at most so many, evenly drawn.
        boxes (Sequence, optional): Parts of images, see :class:`ImageFiles`.
        pixels (np.ndarray, optional): uint8 RGB (N, H, W, 3), where images are not files.
        files (Sequence[str]): The files that ``pixels`` were read from.
        absent (Sequence[str]): Images that should be there and are not.
    """

    def __init__(
        self,
        paths: Sequence[str],
        labels: Sequence[int],
        classes: Sequence[str] | None = None,
        max_images: int | None = None,
        boxes: Sequence | None = None,
        pixels: np.ndarray | None = None,
        files: Sequence[str] = (),
        absent: Sequence[str] = (),
    ) -> None:
        if max_images is not None and max_images < 1:
            raise InputError(f'max_images must be positive or None, got {max_images}.')
        number = len(paths)
        wanted = min(number, max_images or number)
        chosen = [i * number // wanted for i in range(wanted)]
        self.paths = [paths[i] for i in chosen]
        self.labels = [int(labels[i]) for i in chosen]
        self.classes = None if classes is None else list(classes)
        self.absent = list(absent)
        self._boxes = None if boxes is None else [boxes[i] for i in chosen]
        self._pixels = None if pixels is None else pixels[chosen]
        self._files = list(files)

    def __len__(self) -> int:
        return len(self.paths)

    def images(self, resize: int, crop: int, fit: str = 'crop') -> ImageFiles:
        """The images as a network sees them, see :class:`ImageFiles`."""
        if self._pixels is not None:
            return ImageArrays(self._pixels, self.paths, self._files, resize, crop, fit)
        return ImageFiles(self.paths, resize, crop, fit, self._boxes)


@DATASETS.register_module()
class ClassFolders(ImageSource):
    """A folder that holds one folder of images for each class.

    Args:
        data_root (str): The folder.
        classes (str | Sequence[str], optional): Take these class folders only; ``'imagenet100'``
            stands for the list that the package carries. Defaults to None, all.
        max_images (int, optional): Take at most so many, evenly drawn.

    Raises:
        FileNotFoundError: If the folder does not exist.
        ValueError: If it has no class folders with images, or one of ``classes`` is not there.
    """

    def __init__(
        self,
        data_root: str,
        classes: str | Sequence[str] | None = None,
        max_images: int | None = None,
    ) -> None:
        paths, labels, names = scan_labelled(os.path.expanduser(data_root))
        if classes is not None:
            if isinstance(classes, str) and classes != 'imagenet100':
                raise InputError(
                    f"classes must be 'imagenet100' or a list of class folders, got {classes!r}."
                )
            wanted = imagenet100_wnids() if classes == 'imagenet100' else list(classes)
            missing = [name for name in wanted if name not in names]
            if missing:
                raise InputError(
                    f'The folder {data_root!r} lacks {len(missing)} of the {len(wanted)} classes '
                    f'that are asked for: {", ".join(missing[:3])} …'
                )
            place = {names.index(name): i for i, name in enumerate(wanted)}
            kept = [i for i, label in enumerate(labels) if label in place]
            paths, labels, names = (
                [paths[i] for i in kept], [place[labels[i]] for i in kept], wanted
            )  # fmt: skip
        super().__init__(paths, labels, names, max_images)


@DATASETS.register_module()
class UnlabelledFolder(ImageSource):
    """All images below a folder, of any nesting, without labels.

    Args:
        data_root (str): The folder.
        max_images (int, optional): Take at most so many, evenly drawn.

    Raises:
        FileNotFoundError: If the folder does not exist, or holds no image.
    """

    def __init__(self, data_root: str, max_images: int | None = None) -> None:
        root = os.path.expanduser(data_root)
        names = scan_images(root) if os.path.isdir(root) else []
        if not names:
            raise FileNotFoundError(
                f'data_root: there is no folder {root!r} with images; set the data_root of each '
                'set in test_dataloader.dataset.sets, or the environment variable that the config '
                'reads it from.'
            )
        super().__init__([os.path.join(root, name) for name in names], [0] * len(names),
                         max_images=max_images)  # fmt: skip


class HostImages(ImageSource):
    """A data set of mmpretrain whose samples have ``img_path`` and ``gt_label``.

    Args:
        dataset (dict): Its config.

    Raises:
        FileNotFoundError: If its folder or annotations do not exist.
        ValueError: If it cannot be read, or its samples are no labelled files.
    """

    def __init__(self, dataset: dict) -> None:
        config = dict(dataset)
        max_images = config.pop('max_images', None)
        root = os.path.expanduser(config.get('data_root') or '')
        if root and not os.path.isdir(root):
            raise FileNotFoundError(
                f'data_root: the folder {root!r} of {config["type"]} does not exist; set the '
                'data_root of each set in test_dataloader.dataset.sets, or the environment '
                'variable that the config reads it from.'
            )
        try:
            host = DATASETS.build(config)
            infos = [host.get_data_info(i) for i in range(len(host))]
        except (FileNotFoundError, PermissionError, UserError):
            raise
        except Exception as error:  # each reader has errors of its own for damaged files
            raise InputError(
                f'{config["type"]} in {root!r} cannot be read ({error}): are its annotations '
                'whole, and in the format of the release?'
            ) from error
        if not infos or not all({'img_path', 'gt_label'} <= set(info) for info in infos):
            raise InputError(f'{config["type"]} in {root!r} has no images with one label each.')
        paths = [info['img_path'] for info in infos]
        absent = [path for path in paths if not os.path.isfile(path)]
        if len(absent) == len(paths):
            raise FileNotFoundError(
                f'The images of {config["type"]} in {root!r} are not where they should be: there '
                f'is no {absent[0]!r}.'
            )
        here = [info for info in infos if info['img_path'] not in set(absent)]
        super().__init__(
            [info['img_path'] for info in here],
            [info['gt_label'] for info in here],
            host.metainfo.get('classes'),
            max_images,
            absent=absent,
        )


@DATASETS.register_module()
class ImageSets(Dataset):
    """Several sets of images by name, such as those that vote and those that are classified.

    Labels follow the names of classes where these are known, so that they mean the same in all
    sets.

    Args:
        sets (dict): Name → config of a data set: one of this package that is an
            :class:`ImageSource`, or one of mmpretrain. A None takes a set of a base config away.
    """

    def __init__(self, sets: dict[str, dict]) -> None:
        self.sets = {name: build_source(config) for name, config in sets.items() if config}
        self._unify()
        self.metainfo: dict[str, Any] = dict(sets=self.sets)

    def __len__(self) -> int:
        return sum(map(len, self.sets.values()))

    def _unify(self) -> None:
        sources = list(self.sets.values())
        if any(source.classes is None for source in sources):
            return
        names = list(dict.fromkeys(name for source in sources for name in source.classes))
        place = {name: i for i, name in enumerate(names)}
        for source in sources:
            source.labels = [place[source.classes[label]] for label in source.labels]
        for source in sources:
            source.classes = names


def build_source(config: dict) -> ImageSource:
    """A set of this package or of mmpretrain from its config."""
    kind = DATASETS.get(config['type'])
    if isinstance(kind, type) and issubclass(kind, ImageSource):
        return DATASETS.build(dict(config))
    return HostImages(config)
