"""View augmentations of self-supervised learning: torchvision's distribution, at OpenCV's speed.

The defaults are those of the paper (arXiv 2308.11448) and of the SiT release for what the paper
leaves out. All take ``results['img']``, a BGR uint8 array (H, W, 3), or a float32 one (H, W, C) of
other channels on the scale 0 … 255, leave that array untouched, draw from numpy's global state and
run on one core. The pixel arithmetic, and how far it is from
PIL's, is in :mod:`mmc_plugin.datasets.transforms.view_ops`.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import cv2
import numpy as np
from mmpretrain.registry import TRANSFORMS

from ...errors import InputError
from . import view_ops
from .base import Transform, checked_range, is_integer, is_number

_CROP_ATTEMPTS = 10  # torchvision.transforms.RandomResizedCrop


class _RandomViewTransform(Transform):
    """Change ``results['img']`` with probability ``prob``.

    **Required keys:** ``img``: uint8 array (H, W, 3), BGR.

    **Modified keys:** ``img``.
    """

    def __init__(self, prob: float) -> None:
        super().__init__()
        self.prob = _checked_strength('prob', prob, high=1)

    def transform(self, results: dict) -> dict:
        """Replace ``results['img']``, or leave it where the coin falls so."""
        image = _checked_image(results)
        drawn = self.draw()
        if drawn is not None:
            results['img'] = self._apply(image, *drawn)
        return results

    def draw(self) -> tuple | None:
        """Arguments of ``_apply`` after the image, or None if the image stays as it is."""
        # np.random.random() < 1: prob 1 always applies, prob 0 never.
        return self._sample() if np.random.random() < self.prob else None

    def _sample(self) -> tuple:
        return ()

    def _apply(self, image: np.ndarray, *drawn: Any) -> np.ndarray:
        raise NotImplementedError


@TRANSFORMS.register_module()
class ViewCrop(Transform):
    """Cut a box of random area, shape and place, and resize it (antialiased bicubic).

    The box is drawn as torchvision's ``RandomResizedCrop`` draws it. mmpretrain's transform of that
    name does too, but its ``cv2`` backend resizes without antialiasing and its ``pillow`` backend
    takes five times as long.

    **Required keys:** ``img``: uint8 array (H, W, 3).

    **Modified keys:** ``img``: uint8 array (size, size, 3). ``img_shape``: (height, width).
    ``crop_box``: (top, left, height, width) of the box in the image.

    **Optional keys:** ``given_box``: a box to cut instead of a random one; it is taken out.

    Args:
        size: Side, or (height, width), of the result in pixels.
        scale: Range of the box area as a part of the image area (SiT release).
        ratio: Range of the box width over its height, uniform in its logarithm.

    Raises:
        ValueError: If an argument is out of range, or the image is not uint8 (H, W, 3).
    """

    def __init__(
        self,
        size: int | Sequence[int],
        scale: Sequence[float] = (0.2, 1.0),
        ratio: Sequence[float] = (3 / 4, 4 / 3),
    ) -> None:
        super().__init__()
        sides = tuple(size) if isinstance(size, (tuple, list)) else (size, size)
        if len(sides) != 2 or not all(is_integer(side) and side > 0 for side in sides):
            raise InputError(
                'size must be a positive whole number of pixels, or a pair (height, '
                f'width) of them, but is {size!r}.'
            )
        self.size = sides
        self.scale = checked_range('scale', scale, low=0, high=1, low_allowed=False)
        self.ratio = checked_range('ratio', ratio, low=0, high=math.inf, low_allowed=False)

    def transform(self, results: dict) -> dict:
        """Replace ``results['img']`` by the resized box."""
        image = _checked_image(results)
        box = results.pop('given_box', None) or self.sample_box(*image.shape[:2])
        results['img'] = view_ops.crop_and_resize(image, box, self.size)
        results['img_shape'] = self.size
        results['crop_box'] = box
        return results

    def sample_box(self, height: int, width: int) -> tuple[int, int, int, int]:
        """Draw a box inside an image.

        Args:
            height: Image height in pixels.
            width: Image width in pixels.

        Returns:
            (top, left, height, width) of the box. Where ten draws do not fit into the image, the
            largest centred box whose shape is within ``ratio``.
        """
        low, high = math.log(self.ratio[0]), math.log(self.ratio[1])
        for _ in range(_CROP_ATTEMPTS):
            area = height * width * np.random.uniform(*self.scale)
            ratio = math.exp(np.random.uniform(low, high))
            box_width = round(math.sqrt(area * ratio))
            box_height = round(math.sqrt(area / ratio))
            if 0 < box_width <= width and 0 < box_height <= height:
                top = np.random.randint(height - box_height + 1)
                left = np.random.randint(width - box_width + 1)
                return top, left, box_height, box_width
        box_width = min(width, max(1, round(height * self.ratio[1])))
        box_height = min(height, max(1, round(width / self.ratio[0])))
        return (height - box_height) // 2, (width - box_width) // 2, box_height, box_width


@TRANSFORMS.register_module()
class ViewFlip(_RandomViewTransform):
    """Mirror left and right.

    Unlike mmcv's ``RandomFlip`` it returns a contiguous array: the negative strides of that one
    cost a slow copy in the next operation.

    **Added keys:** ``flipped``: whether it is mirrored now, after this and other such flips.

    Args:
        prob: Probability, in [0, 1].
    """

    def __init__(self, prob: float = 0.5) -> None:
        super().__init__(prob)

    def transform(self, results: dict) -> dict:
        """Replace ``results['img']``, or leave it where the coin falls so."""
        before = results['img']
        results = super().transform(results)
        results['flipped'] = results.get('flipped', False) != (results['img'] is not before)
        return results

    def _apply(self, image: np.ndarray) -> np.ndarray:
        return cv2.flip(image, 1).reshape(image.shape)  # OpenCV drops the axis of one channel


@TRANSFORMS.register_module()
class ViewColorJitter(_RandomViewTransform):
    """Change brightness, contrast, saturation and hue, in random order, with random factors.

    Each factor is uniform in ``[max(0, 1 - x), 1 + x]``, that of the hue in ``[-x, x]`` (full
    turns), and ``x = 0`` skips the operation, as in torchvision's ``ColorJitter``. Each result is
    clipped to [0, 255].

    Args:
        brightness: Not negative (0.4: arXiv 2308.11448).
        contrast: Not negative (0.4: arXiv 2308.11448).
        saturation: Not negative (0.4: arXiv 2308.11448).
        hue: In [0, .5] (0.1: SiT release).
        prob: Probability that the image is changed at all, in [0, 1] (0.8: SiT release).

    Raises:
        ValueError: If an argument is out of range, or the image is not uint8 (H, W, 3).
    """

    _STEPS = (
        ('brightness', view_ops.adjust_brightness),
        ('contrast', view_ops.adjust_contrast),
        ('saturation', view_ops.adjust_saturation),
        ('hue', view_ops.adjust_hue),
    )

    def __init__(
        self,
        brightness: float = 0.4,
        contrast: float = 0.4,
        saturation: float = 0.4,
        hue: float = 0.1,
        prob: float = 0.8,
    ) -> None:
        super().__init__(prob)
        self.brightness = _checked_strength('brightness', brightness)
        self.contrast = _checked_strength('contrast', contrast)
        self.saturation = _checked_strength('saturation', saturation)
        self.hue = _checked_strength('hue', hue, high=0.5)

    def sample_steps(self) -> list[tuple[str, Callable, float]]:
        """Draw the operations of one image.

        Returns:
            Name, function and factor, in the order in which they apply.
        """
        steps = []
        for index in np.random.permutation(len(self._STEPS)):
            name, function = self._STEPS[index]
            strength = getattr(self, name)
            if strength > 0:
                centre = 0 if name == 'hue' else 1
                low = -strength if name == 'hue' else max(0, 1 - strength)
                steps.append((name, function, np.random.uniform(low, centre + strength)))
        return steps

    def _sample(self) -> tuple[list[tuple[str, Callable, float]]]:
        return (self.sample_steps(),)

    def _apply(self, image: np.ndarray, steps: list[tuple[str, Callable, float]]) -> np.ndarray:
        for _, function, factor in steps:
            image = function(image, factor)
        return image


@TRANSFORMS.register_module()
class ViewGrayscale(_RandomViewTransform):
    """Replace the three channels by the luma.

    mmcv's ``RandomGrayscale`` weighs the channels equally by default and works in float64.

    Args:
        prob: Probability, in [0, 1] (0.2: SiT release).
    """

    def __init__(self, prob: float = 0.2) -> None:
        super().__init__(prob)

    def _apply(self, image: np.ndarray) -> np.ndarray:
        return view_ops.to_grey(image)


@TRANSFORMS.register_module()
class ViewGaussianBlur(_RandomViewTransform):
    """Blur with a Gaussian whose standard deviation is uniform in ``sigma``.

    Args:
        sigma: Range of the standard deviation in pixels (SiT release).
        prob: Probability, in [0, 1] (SiT release: 1.0 for view 1, 0.1 for view 2).
    """

    def __init__(self, sigma: Sequence[float] = (0.1, 2.0), prob: float = 1.0) -> None:
        super().__init__(prob)
        self.sigma = checked_range('sigma', sigma, low=0, high=math.inf)

    def _sample(self) -> tuple[float]:
        return (np.random.uniform(*self.sigma),)

    def _apply(self, image: np.ndarray, sigma: float) -> np.ndarray:
        return view_ops.gaussian_blur(image, sigma)


@TRANSFORMS.register_module()
class ViewSolarize(_RandomViewTransform):
    """Invert the values at or above a threshold.

    Args:
        threshold: Grey level, in [0, 256].
        prob: Probability, in [0, 1] (0.2 for view 2: arXiv 2308.11448).
    """

    def __init__(self, threshold: int = 128, prob: float = 0.2) -> None:
        super().__init__(prob)
        if not is_integer(threshold) or not 0 <= threshold <= 256:
            raise InputError(f'threshold must be a grey level in [0, 256] but is {threshold!r}.')
        self.threshold = threshold

    def _sample(self) -> tuple[int]:
        return (self.threshold,)

    def _apply(self, image: np.ndarray, threshold: int) -> np.ndarray:
        return view_ops.solarize(image, threshold)


def _checked_image(results: dict) -> np.ndarray:
    image = results['img']
    is_array = isinstance(image, np.ndarray)
    photograph = is_array and image.dtype == np.uint8 and image.shape[2:] == (3,)
    channels = is_array and image.dtype == np.float32 and image.ndim == 3 and image.shape[2] != 3
    if not (photograph or channels) or image.size == 0:
        found = f'{image.dtype} {image.shape}' if is_array else type(image).__name__
        raise InputError(
            "View transforms need results['img'] as a uint8 array of shape (H, W, 3) "
            f'but found {found}; load the image in BGR colour first.'
        )
    return image


def _checked_strength(name: str, value: float, high: float = math.inf) -> float:
    if not is_number(value) or not 0 <= value <= high:
        raise InputError(f'{name} must be a number in [0, {high}] but is {value!r}.')
    return value
