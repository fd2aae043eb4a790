"""What the data sets of photographs with masks share, on which clicks are tried."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from mmengine.dataset import BaseDataset
from mmengine.logging import print_log
from mmpretrain.registry import TRANSFORMS

from ..errors import InputError, RunError
from ..wording import counted
from .transforms.loading import UnreadableImageError
from .transforms.prompts import pack_skipped


class UnusableMasksError(RunError):
    """The masks of an image cannot be used.

    Args:
        reason (str): Why, in words.
    """


@dataclass
class Targets:
    """The masks of one image.

    Attributes:
        masks: bool (M, H, W), each with at least one pixel, none ignored.
        ignore: bool (H, W), pixels that count for no mask.
        labels: int (M, ), positions in the ``categories`` of the data set.
        keys: M numbers, not negative, that with the image's own tell the targets apart.
        left_out: Sentences about what could not be used.
    """

    masks: np.ndarray
    ignore: np.ndarray
    labels: list[int]
    keys: list[int]
    left_out: list[str]


def collect_targets(
    found: Sequence[tuple[int, int, np.ndarray]], ignore: np.ndarray, left_out: Sequence[str] = ()
) -> Targets:
    """Put masks together that lie in one image; ignored pixels are taken away from each.

    Args:
        found (Sequence[tuple[int, int, np.ndarray]]): Label, key and bool (H, W) mask of each.
        ignore (np.ndarray): bool (H, W).
        left_out (Sequence[str]): Sentences about masks that are not among them.

    Raises:
        UnusableMasksError: If no mask has a pixel that counts.
    """
    left_out = list(left_out)
    kept = []
    for label, key, mask in found:
        mask = mask & ~ignore
        if mask.any():
            kept.append((label, key, mask))
        else:
            left_out.append(f'target {key}: no pixel of its mask counts')
    if not kept:
        raise UnusableMasksError('; '.join(left_out) or 'it has no mask')
    labels, keys, masks = zip(*kept, strict=True)
    return Targets(np.stack(masks), ignore, list(labels), list(keys), left_out)


class PromptDataset(BaseDataset):
    """Photographs with masks of categories or of instances.

    A photograph that cannot be read, or whose masks cannot be used, becomes a sample with
    ``skipped`` (path, reason) and nothing else, so that an evaluation goes on and counts it.

    ``scan_report`` says what the start found: ``images`` and ``left_out`` (reason → number).

    Args:
        data_root (str): The folder.
        pipeline (Sequence): Transforms or their configs. They get ``img_path``, ``image_key`` (a
            number) and ``targets`` (:class:`Targets`).
        by (str): ``'category'``: one target for each category of an image, the union of its
            instances [arXiv 2308.11448, Table 1, as we read it]; ``'instance'``: each on its own.
        max_images (int, optional): Take at most so many, evenly drawn. Defaults to None, all.

    Raises:
        FileNotFoundError: ``data_root`` or what it should hold does not exist.
        ValueError: No image has a target, or a key is wrong.
    """

    def __init__(
        self,
        data_root: str,
        pipeline: Sequence[dict | Callable] = (),
        by: str = 'category',
        max_images: int | None = None,
    ) -> None:
        if by not in ('category', 'instance'):
            raise InputError(f"by must be 'category' or 'instance', got {by!r}.")
        if max_images is not None and max_images < 1:
            raise InputError(f'max_images must be positive or None, got {max_images}.')
        self.by = by
        self.max_images = max_images
        self.categories: list[str] = []
        self._left_out: Counter[str] = Counter()
        pipeline = [TRANSFORMS.build(step) if isinstance(step, dict) else step for step in pipeline]
        root = os.path.expanduser(data_root) if data_root else ''
        super().__init__(data_root=root, pipeline=pipeline, test_mode=True)

    def find_images(self) -> list[dict]:
        """Images with targets, each with ``img_path`` and what :meth:`load_targets` needs.

        Sets ``categories`` and counts in ``_left_out`` why images were left out.
        """
        raise NotImplementedError

    def load_targets(self, info: dict) -> Targets:
        """Decode the masks of an image.

        Raises:
            UnusableMasksError: If there is none that can be used.
        """
        raise NotImplementedError

    def load_data_list(self) -> list[dict]:
        """Find the images, take ``max_images`` of them and check that files are there."""
        if not os.path.isdir(self.data_root):
            raise FileNotFoundError(
                f'data_root: the folder {self.data_root!r} does not exist; set '
                'test_dataloader.dataset.data_root, or the environment variable that the config '
                f'reads it from, to the folder of {type(self).__name__}.'
            )
        found = self.find_images()
        self._metainfo['categories'] = self.categories
        self.scan_report = dict(images=len(found), left_out=dict(self._left_out))
        why = ', '.join(f'{number} {reason}' for reason, number in self._left_out.items())
        if not found:
            raise InputError(
                f'No image of {self.data_root!r} has a target to click on '
                f'({why or "there are no images"}).'
            )
        if self.max_images is not None and self.max_images < len(found):
            found = [found[i * len(found) // self.max_images] for i in range(self.max_images)]
        tried = [found[i * len(found) // 10]['img_path'] for i in range(10)]
        if not any(os.path.isfile(path) for path in tried):
            raise FileNotFoundError(
                f'The images of {self.data_root!r} are not where they should '
                f'be: there is no {tried[0]!r}.'
            )
        why = f'; left out {why}' if why else ''
        print_log(f'{self.data_root!r}: {counted(len(found), "image")}{why}.', logger='current')
        return found

    def prepare_data(self, idx: int) -> dict:
        """Load the masks of an image and run the pipeline."""
        info = self.get_data_info(idx)
        try:
            info['targets'] = self.load_targets(info)
            return self.pipeline(info)
        except UnreadableImageError as error:
            return pack_skipped(info, error.reason)
        except UnusableMasksError as error:
            return pack_skipped(info, str(error))
