"""How well objects are found that nobody clicked on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from mmpretrain.registry import METRICS

from ...errors import InputError
from ...structures.image_frame import ImageFrame
from ..found_objects import object_masks
from ..functional.refinement import check_refine
from ..functional.spectral_cut import check_threshold
from .image_results import ImageResults


@METRICS.register_module()
class ObjectDiscovery(ImageResults):
    """CorLoc and IoU of objects that a spectral cut finds, see :func:`spectral_objects`.

    The targets of an image are its objects: a data set of clicks with ``by='instance'``. Ignored
    pixels count for no mask.

    Args:
        number (int): Objects to look for in each image. Defaults to 1.
        threshold (float, optional): Of the cosine of patches that belong together. Defaults to
            None, Otsu's of each image.
        refine (str, optional): ``'guided'`` or ``'bilateral'``. Defaults to None.
        collect_device (str): Of mmengine. Defaults to 'cpu'.

    Raises:
        ValueError: If ``number`` is not positive, or the threshold no cosine.
    """

    name = 'object_discovery'
    default_prefix = 'discovery'

    def __init__(
        self,
        number: int = 1,
        threshold: float | None = None,
        refine: str | None = None,
        collect_device: str = 'cpu',
    ) -> None:
        super().__init__(collect_device=collect_device)
        if number < 1:
            raise InputError(f'ObjectDiscovery: number must be positive, got {number}.')
        self.number, self.threshold = number, check_threshold(threshold)
        self.refine = check_refine(refine)

    def measure(self, sample: dict, frame: ImageFrame) -> dict[str, Any]:
        """IoU (K, M) of found and true objects, by boxes and by masks."""
        found = object_masks(
            sample['tokens'], sample['pixels'], frame, self.number, self.threshold, self.refine
        )
        truth = sample['masks'].cpu().numpy()
        counted = ~sample['ignore'].cpu().numpy()
        boxes, masks = (np.zeros((len(found), len(truth)), np.float32) for _ in range(2))
        for i, each in enumerate(found):
            for j, target in enumerate(truth):
                y, x = (np.flatnonzero(target.any(axis)) for axis in (1, 0))
                boxes[i, j] = box_iou(each.box, (x[0], y[0], x[-1] + 1, y[-1] + 1))
                mask = each.mask & counted
                masks[i, j] = (mask & target).sum() / (mask | target).sum()
        return dict(boxes=boxes, masks=masks)

    def summarise(self, results: Sequence[dict]) -> dict[str, Any]:
        """CorLoc and mean IoU of the first object, and the part of all objects that is found."""
        boxes, masks = ([each[key] for each in results] for key in ('boxes', 'masks'))
        hits = [each[:1].max(initial=0) >= 0.5 for each in boxes]
        covered = [hit for each in boxes for hit in (each >= 0.5).any(0)]
        return dict(
            corloc=np.mean(hits),
            iou=np.mean([each[:1].max(initial=0) for each in masks]),
            recall=np.mean(covered),
            objects=len(covered),
            found=sum(len(each) for each in boxes),
            images_without_any=sum(not len(each) for each in boxes),
        )

    def scalars(self) -> dict[str, float]:
        """CorLoc, IoU and recall in percent."""
        return {key: 100 * float(self.numbers[key]) for key in ('corloc', 'iou', 'recall')}

    def protocol(self) -> str:
        """What is measured, in words."""
        refined = f', refined by the {self.refine} way' if self.refine else ''
        above = "Otsu's threshold" if self.threshold is None else f'{self.threshold:g}'
        return (
            f'Objects by a spectral cut of the patches (arXiv 2202.11539) whose tokens have a '
            f'cosine above {above}, on the side with fewer corners of the image{refined}; at most '
            f'{self.number} in an image. '
            'corloc: share of the images in which the box of the first object has an IoU of at '
            'least 0.5 with the box of any true one; iou: of its mask with the true mask that it '
            'fits best, mean over images, 0 where nothing was found; recall: share of the true '
            'objects whose box has an IoU of at least 0.5 with any found one. Fractions.'
        )


def box_iou(one: Sequence[float], other: Sequence[float]) -> float:
    """IoU of two boxes (left, top, right, bottom)."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    both = max(width, 0) * max(height, 0)
    areas = [(each[2] - each[0]) * (each[3] - each[1]) for each in (one, other)]
    return float(both / (sum(areas) - both))
