"""Two views of an image and boxes that both of them show."""

from __future__ import annotations

import numpy as np
from mmpretrain.datasets.transforms import MultiView
from mmpretrain.registry import TRANSFORMS

from ...errors import InputError
from .base import check_count, check_fraction, checked_range
from .views import (
    ViewColorJitter,
    ViewCrop,
    ViewFlip,
    ViewGaussianBlur,
    ViewGrayscale,
    ViewSolarize,
)

# What may follow a crop: whatever else moves pixels would leave the boxes behind.
_FOLLOWED = (ViewFlip, ViewColorJitter, ViewGrayscale, ViewGaussianBlur, ViewSolarize)
_TRIES = 10  # pairs of views drawn before what they share is taken as it is


@TRANSFORMS.register_module()
class RegionViews(MultiView):
    """:class:`mmpretrain.datasets.MultiView` of two views, with regions that lie in both.

    Nothing but the abstract and the words of one figure of MaskCo (arXiv 2108.07954) is known, so
    that all numbers here are ours. Each view begins with a :class:`ViewCrop`;
    :class:`ViewFlip` and colours of this package may follow, no other transforms. Pairs of views
    are drawn until what they share has sides of at least ``min_overlap`` of the longest side of the
    two crops, ten times at most, then the second view is cut by the first one's box.

    **Required keys:** ``img``.

    **Added keys:** ``img``, the two views; ``regions``, float32 (2, R, 4), for each view the boxes
    (left, top, right, bottom) in pixels of it; ``mask``, bool (2, H, W): the patches of the first
    view that its first region touches by half or more in each direction, one at least.

    Args:
        transforms (list[list[dict]]): Of the first view, which the student sees, and the second.
        num_regions (int): R. Defaults to 4.
        side (tuple[float, float]): Range of a region's side as a part of the overlap's. Defaults
            to (0.3, 0.8).
        min_overlap (float): See above. Defaults to 0.3.
        patch_size (int): Side of a patch in pixels. Defaults to 16.

    Raises:
        ValueError: If a number is out of range, there are other than two views, the boxes cannot be
            followed through their transforms, or regions may be smaller than a patch.
    """

    def __init__(
        self,
        transforms: list[list[dict]],
        num_regions: int = 4,
        side: tuple[float, float] = (0.3, 0.8),
        min_overlap: float = 0.3,
        patch_size: int = 16,
    ) -> None:
        if len(transforms) != 2:
            raise InputError(
                'RegionViews.transforms is a list of transforms for each of the two views, '
                f'[[step, ...], [step, ...]], but has {len(transforms)} in it.'
            )
        super().__init__(transforms, [1, 1])
        for steps in (view.transforms for view in self.transforms):
            _check_steps(steps)
        check_count('RegionViews.num_regions', num_regions)
        check_count('RegionViews.patch_size', patch_size)
        check_fraction('RegionViews.min_overlap', min_overlap, zero_allowed=True)
        self.side = checked_range('RegionViews.side', side, low=0, high=1, low_allowed=False)
        self.num_regions, self.min_overlap = num_regions, min_overlap
        self.patch_size = patch_size

    def transform(self, results: dict) -> dict:
        """Draw views and regions."""
        for _ in range(_TRIES):
            views = [each(dict(results, flipped=False)) for each in self.transforms]
            box = overlap(*(view['crop_box'] for view in views))
            longest = max(max(view['crop_box'][2:]) for view in views)
            if min(box[2:]) >= self.min_overlap * longest:
                break
        else:
            box = views[0]['crop_box']
            views[1] = self.transforms[1](dict(results, flipped=False, given_box=box))
        smallest = self.side[0] * self.min_overlap * min(views[0]['img'].shape[:2])
        if smallest < self.patch_size:
            raise InputError(
                f'RegionViews may draw regions of {smallest:.1f} pixels, smaller than a patch of '
                f'{self.patch_size}: raise side[0] or min_overlap.'
            )
        boxes = np.array([self._region(box) for _ in range(self.num_regions)])
        regions = np.stack([to_view(boxes, view) for view in views]).astype(np.float32)
        shape = views[0]['img'].shape[:2]
        mask = np.zeros((2, *shape), np.bool_)
        left, top, right, bottom = snap(regions[0, 0], self.patch_size, shape)
        mask[0, top:bottom, left:right] = True
        results.update(img=[view['img'] for view in views], regions=regions, mask=mask)
        return results

    def _region(self, box: tuple[float, float, float, float]) -> tuple[float, ...]:
        """A box (top, left, height, width) inside another."""
        top, left, height, width = box
        share = np.random.uniform(*self.side)
        rows, columns = share * height, share * width
        return (
            top + np.random.uniform(0, height - rows),
            left + np.random.uniform(0, width - columns),
            rows,
            columns,
        )


def _check_steps(steps: list) -> None:
    if not steps or not isinstance(steps[0], ViewCrop):
        raise InputError('RegionViews.transforms: each view must begin with a ViewCrop.')
    for step in steps[1:]:
        if not isinstance(step, _FOLLOWED):
            raise InputError(
                f'RegionViews.transforms: boxes cannot be followed through {type(step).__name__}: '
                f'put nothing but {", ".join(each.__name__ for each in _FOLLOWED)} after ViewCrop.'
            )


def overlap(one: tuple, other: tuple) -> tuple[float, float, float, float]:
    """What two boxes (top, left, height, width) share; sides of 0 if that is nothing."""
    top, left = max(one[0], other[0]), max(one[1], other[1])
    bottom = min(one[0] + one[2], other[0] + other[2])
    right = min(one[1] + one[3], other[1] + other[3])
    return top, left, max(bottom - top, 0), max(right - left, 0)


def to_view(boxes: np.ndarray, view: dict) -> np.ndarray:
    """Boxes (R, 4) of the image (top, left, height, width) → (left, top, right, bottom) of a view.

    Args:
        boxes: In pixels of the image.
        view: With ``crop_box``, ``img`` and whether it is ``flipped``.
    """
    top, left, height, width = view['crop_box']
    rows, columns = view['img'].shape[:2]
    y0 = (boxes[:, 0] - top) * rows / height
    x0 = (boxes[:, 1] - left) * columns / width
    y1, x1 = y0 + boxes[:, 2] * rows / height, x0 + boxes[:, 3] * columns / width
    if view['flipped']:
        x0, x1 = columns - x1, columns - x0
    return np.stack([x0, y0, x1, y1], axis=1)


def snap(box: np.ndarray, patch: int, shape: tuple[int, int]) -> tuple[int, int, int, int]:
    """The nearest box of whole patches, one at least, inside an image of a shape."""
    height, width = shape
    ends = []
    for low, high, size in ((box[0], box[2], width), (box[1], box[3], height)):
        first = min(max(round(low / patch), 0), size // patch - 1)
        last = min(max(round(high / patch), first + 1), size // patch)
        ends.append((first * patch, last * patch))
    (left, right), (top, bottom) = ends
    return left, top, right, bottom
