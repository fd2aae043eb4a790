"""Images that a table names with their classes, as the splits of miniImageNet do."""

from __future__ import annotations

import csv
import os

from mmpretrain.registry import DATASETS

from ..errors import InputError
from .image_sets import ImageSource


@DATASETS.register_module()
class SplitFile(ImageSource):
    """Images of a folder that a CSV file lists, with the columns ``filename`` and ``label``.

    Images that are not there are left out and counted.

    Args:
        data_root (str): The folder.
        split_file (str): The CSV file, relative to the folder.
        image_dir (str): Folder of the images, relative to the folder. Defaults to 'images'.
        max_images (int, optional): Take at most so many, evenly drawn.

    Raises:
        FileNotFoundError: If the file, or every image that it names, is not there.
        ValueError: If it has other columns or no rows.
    """

    def __init__(
        self,
        data_root: str,
        split_file: str,
        image_dir: str = 'images',
        max_images: int | None = None,
    ) -> None:
        root = os.path.expanduser(data_root)
        path = os.path.join(root, split_file)
        if not os.path.isfile(path):
            raise FileNotFoundError(
                f'data_root: there is no split file {path!r}; set data_root and split_file in '
                'test_dataloader.dataset.sets, or the environment variable that the config reads '
                'the folder from.'
            )
        try:
            with open(path, newline='', encoding='utf-8') as file:
                rows = list(csv.DictReader(file))
        except (UnicodeDecodeError, csv.Error) as error:
            raise InputError(f'The split file {path!r} is no CSV file: {error}.') from None
        if not rows or not all(row.get('filename') and row.get('label') for row in rows):
            raise InputError(
                f'The split file {path!r} needs a first line with filename and label, and such '
                'pairs below it.'
            )
        images = [os.path.join(root, image_dir, row['filename']) for row in rows]
        here = [os.path.isfile(image) for image in images]
        if not any(here):
            raise FileNotFoundError(
                f'None of the images that {path!r} names is there ({len(images)} in all); the '
                f'first would be {images[0]!r}. Are they in another folder (image_dir)?'
            )
        classes = sorted({row['label'] for row in rows})
        found = [(image, row) for image, row, there in zip(images, rows, here) if there]
        super().__init__(
            [image for image, _ in found],
            [classes.index(row['label']) for _, row in found],
            classes,
            max_images,
            absent=[image for image, there in zip(images, here) if not there],
        )
