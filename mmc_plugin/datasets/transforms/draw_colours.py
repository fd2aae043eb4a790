"""Colours that the data workers draw and the device applies."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from mmpretrain.registry import TRANSFORMS

from ...errors import InputError
from . import view_ops
from .base import Transform
from .views import ViewColorJitter, ViewGaussianBlur, ViewGrayscale, ViewSolarize

_JITTER = [name for name, _ in ViewColorJitter._STEPS]
_NOTHING = [0] * 4 + [1] * 4 + [0, 256, 1]  # brightness times one, four times


def _write_jitter(row: np.ndarray, steps: Sequence[tuple]) -> None:
    for place, (name, _, factor) in enumerate(steps):
        row[place], row[4 + place] = _JITTER.index(name), factor


def _write_grey(row: np.ndarray) -> None:
    row[8] = 1


def _write_blur(row: np.ndarray, sigma: float) -> None:
    kernel = view_ops.box_kernel(sigma)
    half = kernel[len(kernel) // 2 :]
    row[10 : 10 + len(half)] = half


def _write_solarize(row: np.ndarray, threshold: int) -> None:
    row[9] = threshold


# In the order in which the device applies them.
_WRITE = {
    ViewColorJitter: _write_jitter,
    ViewGrayscale: _write_grey,
    ViewGaussianBlur: _write_blur,
    ViewSolarize: _write_solarize,
}


@TRANSFORMS.register_module()
class DrawColours(Transform):
    """Draw what view transforms would do to colours, and leave it to the device.

    It spares data workers their pixels. All numbers are drawn as the transforms themselves draw,
    from numpy's global state; :class:`ViewDataPreprocessor` changes whole batches by them with
    :func:`apply_colours`.

    **Required keys:** ``img``: list of arrays (H, W, C), which stay as they are.

    **Added keys:** ``colours``: float32 (images, 11 + R), R the widest blur's radius in pixels. For
    each image

    - 0 … 3: the jitter's operations in their order: 0 brightness, 1 contrast, 2 saturation, 3 hue;
    - 4 … 7: their factors;
    - 8: 1 for a grey image, else 0;
    - 9: the threshold of solarization, 256 for none;
    - from 10 on: half of the blur's kernel, beginning with its middle.

    Args:
        transforms: For each image, local crops too, its steps: at most one each of
            :class:`ViewColorJitter`, :class:`ViewGrayscale`, :class:`ViewGaussianBlur` and
            :class:`ViewSolarize`, in this order.

    Raises:
        ValueError: If other steps are given, or, on a sample, other images than lists of steps, or
            steps that change colours for images that have none.
    """

    def __init__(self, transforms: Sequence[Sequence[dict]]) -> None:
        super().__init__()
        if not all(isinstance(steps, Sequence) for steps in transforms):
            raise InputError(
                'DrawColours takes a list of steps for each view, [[step, ...], [step, ...]], but '
                f'got {transforms!r}.'
            )
        self.transforms = [[TRANSFORMS.build(step) for step in steps] for steps in transforms]
        order = list(_WRITE)
        for steps in self.transforms:
            kinds = [type(step) for step in steps]
            if kinds != [kind for kind in order if kind in kinds]:
                known, found = (', '.join(each.__name__ for each in k) for k in (order, kinds))
                raise InputError(
                    f'DrawColours takes {known}, in this order and each at most once, but got '
                    f'{found}; all else stays in transforms of MultiView or LoadViews.'
                )
        widest = [step.sigma[1] for steps in self.transforms for step in steps
                  if isinstance(step, ViewGaussianBlur)]  # fmt: skip
        self.radius = max((len(view_ops.box_kernel(sigma)) // 2 for sigma in widest), default=0)

    def transform(self, results: dict) -> dict:
        """Add ``colours`` to ``results``."""
        images = results['img']
        if not isinstance(images, list) or len(images) != len(self.transforms):
            found = len(images) if isinstance(images, list) else 'a single image'
            raise InputError(
                f'DrawColours has transforms for {len(self.transforms)} images, local crops too, '
                f'but got {found}; put it after MultiView or LoadViews, with a list for each.'
            )
        colours = np.zeros((len(images), len(_NOTHING) + self.radius), np.float32)
        colours[:, : len(_NOTHING)] = _NOTHING
        for image, steps, row in zip(images, self.transforms, colours, strict=True):
            for step in steps:
                if image.dtype != np.uint8 and _needs_colours(step):
                    raise InputError(
                        f'Images of {image.shape[2]} channels have no colours: leave ViewGrayscale '
                        'out of DrawColours, and set saturation=0 and hue=0 of its ViewColorJitter.'
                    )
                drawn = step.draw()
                if drawn is not None:
                    _WRITE[type(step)](row, *drawn)
        results['colours'] = colours
        return results


def _needs_colours(step: Transform) -> bool:
    if isinstance(step, ViewColorJitter):
        return step.saturation > 0 or step.hue > 0
    return isinstance(step, ViewGrayscale)
