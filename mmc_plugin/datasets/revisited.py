"""Revisited Oxford and Paris (arXiv 1803.11285): landmarks to be found again."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from mmpretrain.registry import DATASETS

from ..errors import InputError
from .image_sets import ImageSource
from .plain_pickles import read_plain_pickle

LISTS = ('easy', 'hard', 'junk')


@DATASETS.register_module()
class RevisitedLandmarks(ImageSource):
    """The database or the queries of revisited Oxford or Paris.

    ``ground_truth`` has for each query ``easy``, ``hard`` and ``junk``, places in the database.

    Args:
        data_root (str): Folder that holds ``<name>/gnd_<name>.pkl``, read without running code,
            and ``<name>/jpg/*.jpg``.
        name (str): ``'roxford5k'`` or ``'rparis6k'``, or another set of the same format.
        part (str): ``'database'`` or ``'query'``.
        crop_queries (bool): Look at the box of the landmark in a query only, as the protocol
            says. Defaults to True.
        max_images (int, optional): Take the first so many queries, or of the database, for a first
            look.

    Raises:
        FileNotFoundError: If the ground truth, or every image, is not there.
        ValueError: If the ground truth is no such file, or would run code.
    """

    def __init__(
        self,
        data_root: str,
        name: str,
        part: str,
        crop_queries: bool = True,
        max_images: int | None = None,
    ) -> None:
        if part not in ('database', 'query'):
            raise InputError(f"part must be 'database' or 'query', got {part!r}.")
        folder = os.path.join(os.path.expanduser(data_root), name)
        path = os.path.join(folder, f'gnd_{name}.pkl')
        if not os.path.isfile(path):
            raise FileNotFoundError(
                f'data_root: there is no ground truth {path!r}; set the data_root of each set in '
                'test_dataloader.dataset.sets, or the environment variable that the config reads '
                'it from, to the folder that holds roxford5k and rparis6k.'
            )
        content = read_plain_pickle(path)
        database, queries, truth = _check(content, path)
        names = queries if part == 'query' else database
        paths = [os.path.join(folder, 'jpg', f'{each}.jpg') for each in names][:max_images]
        absent = [image for image in paths if not os.path.isfile(image)]
        if len(absent) == len(paths):
            raise FileNotFoundError(
                f'The images of {folder!r} are not where they should be: there is no {paths[0]!r}.'
            )
        boxes = [each['box'] for each in truth] if part == 'query' and crop_queries else None
        # Absent images stay in the list, so that places are those of the ground truth; they are
        # found unreadable later.
        super().__init__(paths, range(len(paths)), boxes=boxes)
        self.ground_truth = truth if part == 'query' else None


def _check(content: Any, path: str) -> tuple[list[str], list[str], list[dict]]:
    """Names of the database and of the queries, and the ground truth of each query."""
    try:
        database, queries = ([str(each) for each in content[key]] for key in ('imlist', 'qimlist'))
        truth = [
            {key: np.asarray(each[key], np.int64).reshape(-1) for key in LISTS}
            | dict(box=tuple(float(value) for value in each['bbx']))
            for each in content['gnd']
        ]
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise InputError(
            f'{path} is no ground truth of revisited Oxford or Paris ({error!r}): it needs imlist, '
            'qimlist, and gnd with bbx, easy, hard and junk of each query.'
        ) from None
    if len(truth) != len(queries) or not database or not queries:
        raise InputError(
            f'{path} names {len(database)} images and {len(queries)} queries, but has the ground '
            f'truth of {len(truth)}.'
        )
    for name, each in zip(queries, truth):
        places = np.concatenate([each[key] for key in LISTS])
        if len(places) and not 0 <= places.min() <= places.max() < len(database):
            raise InputError(
                f'{path}: the ground truth of {name} refers to images outside the {len(database)} '
                'of the database.'
            )
        left, top, right, bottom = each['box'] if len(each['box']) == 4 else (0, 0, 0, 0)
        if not (right - left >= 1 and bottom - top >= 1):
            raise InputError(f'{path}: the box of {name} is {each["box"]}, which holds no pixel.')
    return database, queries, truth
