"""Image operations of the view augmentations on BGR uint8 arrays: those of PIL, up to rounding.

The releases of SiT, DINO, iBOT and others augment with torchvision on PIL images. These functions
give the same pictures in a fraction of the time; each states what is left of a difference, measured
on photographs in grey levels (of 255). All take an image (H, W, 3), uint8, BGR, and return one of
that size and kind; none changes its input. No random numbers here: see
:mod:`mmc_plugin.datasets.transforms.views`.

Those that mean something beside colours also take float32 (H, W, C) on the scale 0 … 255, of any
number of channels, and return the same without rounding.
"""

import math

import cv2
import numpy as np
import torch
import torch.nn.functional as F

from ...errors import InputError

_GREY_LEVELS = np.arange(256, dtype=np.float32)  # the precision of PIL's arithmetic
# In a row, and in rows of one: OpenCV rounds the last few of a row in another way than the others.
_GREY_RAMPS = _GREY_LEVELS.astype(np.uint8)[None], np.indices((256, 2), np.uint8)[0][:, :1]
_KERNEL_ONE = 256  # OpenCV filters uint8 images with weights of 8 fractional bits

# PIL drops the fraction where OpenCV rounds. Taking a little less than a half off makes rounding
# drop the fraction too, and leaves whole numbers what they are.
_DROP_FRACTION = -0.498
_DROP_ALL_FRACTION = -0.4999  # of a product that is rounded once


def crop_and_resize(
    image: np.ndarray, box: tuple[int, int, int, int], size: tuple[int, int]
) -> np.ndarray:
    """Cut a box and resize it with the bicubic filter of PIL, which widens when it shrinks.

    ``cv2.resize`` with ``INTER_CUBIC`` is no substitute: it does not low-pass before it drops
    pixels, and its cubic is another one (a = -.75, not -.5). torch's antialiased interpolation of
    uint8 images in channels-last order is PIL's algorithm, vectorised.

    Against PIL: at most 2 levels, mean .02.

    Args:
        image: See above.
        box: (top, left, height, width) in pixels, inside the image.
        size: (height, width) of the result in pixels; it is contiguous.
    """
    top, left, height, width = box
    # A copy, because torch takes neither negative strides nor read-only arrays; it costs nothing,
    # since torch would copy a box that is narrower than the image.
    crop = torch.from_numpy(image[top : top + height, left : left + width].copy())
    # unsqueeze, unlike numpy's [None], gives the batch axis a stride that torch recognises as
    # channels last; without it torch takes a slower path and returns planes.
    crop = crop.unsqueeze(0).permute(0, 3, 1, 2)
    resized = F.interpolate(crop, size=size, mode='bicubic', antialias=True, align_corners=False)
    if image.dtype != np.uint8:
        resized = resized.clamp_(0, 255)  # beyond which the filter swings, as for uint8
    return np.ascontiguousarray(resized[0].permute(1, 2, 0).numpy())


def adjust_brightness(image: np.ndarray, factor: float) -> np.ndarray:
    """Multiply an image by ``factor``, clip to [0, 255] and drop the fraction.

    Args:
        factor: 0 is black, 1 changes nothing.

    Against PIL: equal.
    """
    if image.dtype != np.uint8:
        return np.clip(image * np.float32(factor), 0, 255)
    return _map_levels(image, _GREY_LEVELS * factor, factor, 0)


def adjust_contrast(image: np.ndarray, factor: float) -> np.ndarray:
    """Move an image away from (factor > 1) or towards (factor < 1) its mean luma.

    Of other channels it is the mean over all of them.

    Args:
        factor: 0 is one flat grey, 1 changes nothing.

    Against PIL: at most 1 level.
    """
    if image.dtype != np.uint8:
        mean = image.mean(dtype=np.float64).astype(np.float32)
        return np.clip(mean + np.float32(factor) * (image - mean), 0, 255)
    mean = int(cv2.mean(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY))[0] + 0.5)
    levels = mean + factor * (_GREY_LEVELS - mean)
    return _map_levels(image, levels, factor, mean - factor * mean)


def adjust_saturation(image: np.ndarray, factor: float) -> np.ndarray:
    """Move each pixel away from (factor > 1) or towards (factor < 1) its luma.

    Args:
        factor: 0 is a grey image, 1 changes nothing.

    Against PIL: at most 1 level for factors up to 2, mean .05.
    """
    _check_colours(image, 'a saturation (set saturation=0 of ViewColorJitter)')
    return cv2.addWeighted(image, factor, to_grey(image), 1 - factor, _DROP_FRACTION)


def adjust_hue(image: np.ndarray, factor: float) -> np.ndarray:
    """Turn the hue of each pixel, keeping its HSV saturation and value.

    Args:
        factor: Part of a full turn, in [-.5, .5]; the step is 1/255 turn.

    Against PIL: at most 12 levels, mean .8, because PIL drops the fractions
    of hue and saturation and OpenCV rounds them.
    """
    _check_colours(image, 'a hue (set hue=0 of ViewColorJitter)')
    hsv = cv2.cvtColor(image, cv2.COLOR_BGR2HSV_FULL)
    # uint8 wraps around, as the hue does. A third as long as adding in place, between the others.
    hue = cv2.extractChannel(hsv, 0) + np.uint8(int(factor * 255) % 256)
    cv2.insertChannel(hue, hsv, 0)
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR_FULL)


def to_grey(image: np.ndarray) -> np.ndarray:
    """Replace each pixel by its luma, in all three channels.

    Against PIL: at most 1 level.
    """
    _check_colours(image, 'a luma (leave ViewGrayscale out)')
    return cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)


def gaussian_blur(image: np.ndarray, sigma: float) -> np.ndarray:
    """Blur with PIL's approximation of a Gaussian: three box filters, as one kernel.

    Args:
        sigma: Standard deviation in pixels, the ``radius`` of ``PIL.ImageFilter``.

    Against PIL: at most 5 levels, mean .7. In a border of 7 pixels up to
    some 20 at single pixels, because PIL repeats the border pixel before each of the three
    filters and this function once.
    """
    kernel = box_kernel(sigma)
    blurred = cv2.sepFilter2D(image, -1, kernel, kernel, borderType=cv2.BORDER_REPLICATE)
    return blurred.reshape(image.shape)  # OpenCV drops the axis of one channel


def box_kernel(sigma: float) -> np.ndarray:
    """Kernel of three equal box filters with fractional ends, of total variance ``sigma**2``.

    Source: Gwosdek et al., "Theoretical foundations of Gaussian convolution by extended box
    filtering", 2011, the filter that ``PIL.ImageFilter.GaussianBlur`` applies. A sampled Gaussian
    would be no blur at all below a sigma of .4.

    Args:
        sigma: Standard deviation in pixels, not negative.

    Returns:
        (K, ), float32, K odd, symmetric, multiples of 1/256 with sum 1, so that OpenCV's
        fixed-point filter represents it exactly and no brightness is gained or lost.
    """
    variance = sigma**2 / 3
    whole = int((math.sqrt(12 * variance + 1) - 1) / 2)  # full-weight pixels on each side
    fraction = (
        (2 * whole + 1) * (whole * (whole + 1) - 3 * variance) / (6 * (variance - (whole + 1) ** 2))
    )
    box = np.array([fraction] + [1.0] * (2 * whole + 1) + [fraction]) / (2 * (whole + fraction) + 1)
    kernel = np.convolve(np.convolve(box, box), box)
    # Rounding the sum up to each weight, from the end inwards, keeps small tails on the whole.
    tail = np.rint(np.cumsum(kernel[: len(kernel) // 2]) * _KERNEL_ONE)
    tail[1:] -= tail[:-1].copy()
    tail = tail[np.argmax(tail > 0) :] if tail.any() else tail[:0]
    kernel = np.concatenate([tail, [_KERNEL_ONE - 2 * tail.sum()], tail[::-1]])
    return (kernel / _KERNEL_ONE).astype(np.float32)


def solarize(image: np.ndarray, threshold: int) -> np.ndarray:
    """Invert the values at or above ``threshold``.

    Args:
        threshold: Grey level in [0, 256].

    Against PIL: equal.
    """
    if image.dtype != np.uint8:
        return np.where(image < threshold, image, 255 - image)
    levels = _GREY_LEVELS
    return cv2.LUT(image, _to_table(np.where(levels < threshold, levels, 255 - levels)))


def _check_colours(image: np.ndarray, what: str) -> None:
    if image.dtype != np.uint8:
        raise InputError(f'Images of {image.shape[2]} channels have no colours, and so not {what}.')


def _map_levels(image: np.ndarray, levels: np.ndarray, factor: float, offset: float) -> np.ndarray:
    """Replace each value x by ``levels[x]``, which is ``factor * x + offset`` up to rounding.

    The line takes a quarter of the table's time. It is drawn where it gives the table's numbers, to
    all of the 256 values; a fraction of nearly one may fall on the other side.
    """
    table = _to_table(levels)
    offset += _DROP_ALL_FRACTION
    drawn = [cv2.addWeighted(ramp, factor, ramp, 0, offset) for ramp in _GREY_RAMPS]
    if all(each.tobytes() == table.tobytes() for each in drawn):
        return cv2.addWeighted(image, factor, image, 0, offset)
    return cv2.LUT(image, table)


def _to_table(levels: np.ndarray) -> np.ndarray:
    # np.clip takes as long as the image does.
    return np.minimum(np.maximum(levels, 0), 255).astype(
        np.uint8
    )  # drops the fraction, as PIL does
