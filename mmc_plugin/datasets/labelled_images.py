"""Labelled images in any format, to train a classifier on and to test it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

import numpy as np
from mmengine.dataset import Compose
from mmengine.logging import print_log
from mmpretrain.registry import DATASETS, TRANSFORMS
from torch.utils.data import Dataset

from ..errors import InputError, RunError
from ..wording import counted
from .image_sets import build_source
from .transforms.loading import UnreadableImageError

UNREADABLE = -1  # the label in a test of an image that cannot be read
_TRIES = 100  # other images drawn in the place of one that cannot be read


@DATASETS.register_module()
class LabelledImages(Dataset):
    """Images of a set as samples of a pipeline, whatever format the set has.

    A training image that cannot be read is replaced by one drawn at random, and named in the log.
    In a test it is black and has the label ``UNREADABLE``, for :class:`ClassificationAccuracy` to
    leave out and list.

    Args:
        source (dict): Config of a set, see :class:`ImageSets`: one of this package
            (``ClassFolders``, ``CifarImages``, ``SplitFile``) or one of mmpretrain whose samples
            are labelled files.
        pipeline (Sequence): Transforms or their configs. They get ``img`` (uint8 BGR (H, W, 3)),
            ``img_shape``, ``ori_shape``, ``img_path``, ``gt_label`` and ``sample_idx``.
        test_mode (bool): Do not replace images. Defaults to False.

    Raises:
        FileNotFoundError: If the set's files are not there.
        ValueError: If they are not in its format.
    """

    def __init__(
        self, source: dict, pipeline: Sequence[dict | Callable] = (), test_mode: bool = False
    ) -> None:
        self.source = build_source(source)
        if self.source.absent:
            print_log(
                f'Left out {counted(len(self.source.absent), "image")} that {source["type"]} lists '
                f'but the disk lacks, such as {self.source.absent[0]!r}.',
                logger='current',
            )
        self.images = self.source.images(0, 0)  # their own cut is for k-NN and the like
        self.test_mode = test_mode
        self.pipeline = Compose(
            [TRANSFORMS.build(step) if isinstance(step, dict) else step for step in pipeline]
        )
        classes = self.source.classes
        self.metainfo = dict(
            classes=None if classes is None else tuple(classes), absent=self.source.absent
        )
        self._told: set[str] = set()

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> dict:
        """A sample, after the pipeline.

        Raises:
            RuntimeError: If a hundred images drawn one after another cannot be read, in training.
        """
        error = None
        for _ in range(_TRIES):
            label = self.source.labels[index]
            try:
                image = np.asarray(self.images.photograph(index))[..., ::-1].copy()
            except UnreadableImageError as failed:
                error = error or failed
                if not self.test_mode:
                    self._tell(failed)
                    index = np.random.randint(len(self))
                    continue
                image, label = np.zeros((256, 256, 3), np.uint8), UNREADABLE
            return self.pipeline(
                dict(
                    img=image,
                    img_shape=image.shape[:2],
                    ori_shape=image.shape[:2],
                    img_path=self.source.paths[index],
                    gt_label=label,
                    sample_idx=index,
                )
            )
        raise RunError(
            f'{_TRIES} images drawn one after another cannot be read, the first: {error}'
        )

    def _tell(self, error: UnreadableImageError) -> None:
        if error.path not in self._told:
            self._told.add(error.path)
            print_log(f'Another image takes its place: {error}', 'current', logging.WARNING)


def check_classes(number: int, sets: dict[str, LabelledImages]) -> None:
    """Refuse a head of another number of classes than the data, and sets of different classes.

    Args:
        number (int): Outputs of the head.
        sets (dict): Name → images.

    Raises:
        ValueError: That says which key to set.
    """
    known = {name: each.metainfo['classes'] for name, each in sets.items()}
    known = {name: each for name, each in known.items() if each is not None}
    for name, each in sets.items():
        labels = each.source.labels
        found = len(known.get(name, ())) or max(labels) + 1
        if found > number or (name in known and found < number):
            raise InputError(
                f'The images to {name} with have {found} classes and the head has {number}: set '
                f'model.head.num_classes={found}.'
            )
    if len(set(known.values())) > 1:
        first, other = known.values()
        odd = sorted(set(first) ^ set(other))
        what = f': {", ".join(odd[:3])} is in one of them only' if odd else ', in their order'
        raise InputError(
            f'The classes of the images to {" and to ".join(known)} with differ{what}. Give both '
            'the same class folders.'
        )
