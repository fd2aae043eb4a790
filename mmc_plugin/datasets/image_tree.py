"""A folder of images as a training set: any nesting, any names, no labels."""

import os
import stat
from collections.abc import Callable, Sequence

import numpy as np
from mmengine.dataset import BaseDataset
from mmengine.logging import print_log
from mmpretrain.registry import DATASETS, TRANSFORMS

from ..errors import InputError, RunError
from ..wording import counted
from .seeding import SeededItems
from .transforms.loading import LoadImage, UnreadableImageError

IMAGE_EXTENSIONS = (
    '.jpg', '.jpeg', '.jpe', '.jfif', '.png', '.webp', '.bmp', '.tif', '.tiff', '.gif', '.ppm',
    '.pgm',
)  # fmt: skip


def extensions_for(channels: int) -> tuple[str, ...]:
    """Ends of the names of images that :class:`LoadImage` reads with so many channels."""
    return IMAGE_EXTENSIONS if channels == 3 else (*IMAGE_EXTENSIONS, '.npy')


def scan_tree(
    root: str, extensions: tuple[str, ...] = IMAGE_EXTENSIONS
) -> tuple[list[str], dict[str, str], int]:
    """Find the image files below a folder.

    Links are followed; a folder that links make reachable twice is taken once, so loops end. Names
    that begin with a dot are ignored. Costs one ``stat`` a file.

    Args:
        root: The folder.
        extensions: Ends of the names of images, in small letters.

    Returns:
        Sorted paths relative to ``root``; path → reason of what was left out (empty files, broken
        links, folders that cannot be listed); number of files that are no images by their name.

    Raises:
        OSError: ``root`` cannot be listed.
    """
    found, left_out, others = [], {}, 0
    seen = set()
    folders = ['']
    while folders:
        folder = folders.pop()
        path = os.path.join(root, folder)
        try:
            info = os.stat(path)
            if (info.st_dev, info.st_ino) in seen:
                continue
            seen.add((info.st_dev, info.st_ino))
            with os.scandir(path) as listing:
                entries = [entry for entry in listing if not entry.name.startswith('.')]
        except OSError as error:
            if not folder:
                raise
            left_out[path] = f'the folder cannot be listed: {error.strerror}'
            continue
        deeper = []
        for entry in entries:
            name = os.path.join(folder, entry.name)
            try:
                if entry.is_dir():
                    deeper.append(name)
                elif not entry.name.lower().endswith(extensions):
                    others += 1
                else:
                    status = entry.stat()
                    if not stat.S_ISREG(status.st_mode):
                        left_out[os.path.join(root, name)] = 'not a regular file'
                    elif status.st_size == 0:
                        left_out[os.path.join(root, name)] = 'the file is empty (zero bytes)'
                    else:
                        found.append(name)
            except OSError as error:
                left_out[os.path.join(root, name)] = f'broken link or no access: {error.strerror}'
        # Sorted, so that of a folder and a link to it always the same one is taken.
        folders.extend(sorted(deeper, reverse=True))
    return sorted(found), left_out, others


def scan_images(root: str) -> list[str]:
    """Paths of the image files below a folder, sorted and relative to it; none if none is whole.

    With what :func:`scan_tree` leaves out, for those who list what they cannot read.
    """
    found, left_out, _ = scan_tree(root)
    return sorted(found + [os.path.relpath(path, root) for path in left_out]) if found else []


def scan_paths(paths: Sequence[str]) -> list[str]:
    """Image files of a list in which a folder stands for the images below it, sorted.

    Args:
        paths (Sequence[str]): Files, which are taken as they are, and folders.

    Raises:
        ValueError: If a folder holds no image.
    """
    found = []
    for path in paths:
        if not os.path.isdir(path):
            found.append(path)
            continue
        below = scan_images(path)
        if not below:
            raise InputError(f'There is no whole image in {path!r} or below.')
        found += [os.path.join(path, each) for each in below]
    return found


def _left_out(broken: int, others: int) -> str:
    """What a scan did without, as the end of a sentence; nothing is said of none."""
    told = [counted(broken, 'empty or broken file')] if broken else []
    told += [counted(others, 'other file')] if others else []
    return f'; left out {" and ".join(told)}' if told else ''


@DATASETS.register_module()
class ImageTree(SeededItems, BaseDataset):
    """All images below a folder, without labels.

    A file that turns out to be unreadable during training is replaced by another one, drawn from
    the sample's own seed; ``skipped`` of the sample that takes its place names it.

    ``scan_report`` says what the start found: ``images`` and ``other_files`` (counts) and
    ``left_out`` (path → reason).

    Args:
        data_root (str): The folder.
        pipeline (Sequence): Transforms or their configs.

    Raises:
        FileNotFoundError: ``data_root`` does not exist, or no file is an image by its name.
        RuntimeError: No image can be read.
    """

    METAINFO = dict(dataset_type='ImageTree')

    def __init__(self, data_root: str, pipeline: Sequence[dict | Callable] = ()) -> None:
        pipeline = [TRANSFORMS.build(step) if isinstance(step, dict) else step for step in pipeline]
        root = os.path.expanduser(data_root) if data_root else ''
        super().__init__(data_root=root, pipeline=pipeline)

    def load_data_list(self) -> list[dict]:
        """Scan the folder and check that an image can be read; paths are relative to it."""
        self._check_root()
        extensions = extensions_for(self._loader().in_channels)
        found, left_out, others = scan_tree(self.data_root, extensions)
        self.scan_report = dict(images=len(found), other_files=others, left_out=left_out)
        if not found:
            raise FileNotFoundError(
                f'data_root: no image in {self.data_root!r} or below '
                f'({counted(others, "other file")}, {len(left_out)} empty or broken); looked for '
                f'{", ".join(extensions)}; set data_root to a folder with images.'
            )
        self._check_readable(found)
        without = _left_out(len(left_out), others)
        print_log(f'{self.data_root!r}: {counted(len(found), "image")}{without}.', logger='current')
        return [dict(img_path=path) for path in found]

    def get_data_info(self, idx: int) -> dict:
        """``img_path`` (with the folder) and ``sample_idx`` of an image."""
        info = super().get_data_info(idx)
        info['img_path'] = os.path.join(self.data_root, info['img_path'])
        return info

    def prepare_data(self, idx: int) -> dict:
        """Run the pipeline on an image or, as long as files are unreadable, on another one.

        Raises:
            RuntimeError: ``max_refetch`` other files were unreadable, too.
        """
        skipped = []
        for _ in range(self.max_refetch + 1):
            info = self.get_data_info(idx)
            info['skipped'] = skipped
            try:
                return self.pipeline(info)
            except UnreadableImageError as error:
                skipped.append((error.path, error.reason))
                idx = self._rand_another()
        path, reason = skipped[-1]
        raise RunError(
            f'{len(skipped)} images drawn one after another from {self.data_root!r} cannot be '
            f'read, the last being {path!r} ({reason}); check that the folder is still there and '
            'its files are whole.'
        )

    def _loader(self) -> LoadImage:
        steps = (step for step in self.pipeline.transforms if isinstance(step, LoadImage))
        return next(steps, None) or LoadImage()

    def _check_root(self) -> None:
        if not os.path.isdir(self.data_root):
            found = 'is not a folder' if os.path.exists(self.data_root) else 'does not exist'
            raise FileNotFoundError(
                f'data_root: {self.data_root!r} {found}; set data_root '
                '(train_dataloader.dataset.data_root, or the environment variable that the config '
                'reads it from) to an existing folder of images.'
            )

    def _check_readable(self, found: list[str]) -> None:
        """Look for one image that can be read, with as many tries as a sample gets."""
        load = self._loader()
        tries = min(len(found), self.max_refetch + 1)
        first = None
        for index in np.linspace(0, len(found) - 1, tries).astype(int):
            try:
                load(dict(img_path=os.path.join(self.data_root, found[index])))
                return
            except UnreadableImageError as error:
                first = first or error
        raise RunError(
            f'data_root: none of the {tries} images tried of {len(found)} in {self.data_root!r} '
            f'can be read; the first is {first.path!r} ({first.reason}); set data_root to a folder '
            'with whole images.'
        )
