"""Colours of a batch of views, changed on the device as the data workers have drawn them."""

import torch
from torch import Tensor

from ...errors import InputError

_BRIGHTNESS, _CONTRAST, _, _HUE = range(4)  # see DrawColours; saturation is the other


@torch.no_grad()
def apply_colours(images: Tensor, numbers: Tensor) -> Tensor:
    """Jitter, grey, blur and solarize each image by its own numbers.

    The operations of :mod:`mmc_plugin.datasets.transforms.view_ops` without their rounding: pixels
    stay floating-point, and the hue is turned exactly. Nothing waits for the device, and an image
    gets the same whatever else is in the batch.

    Args:
        images (Tensor): (B, C, H, W), uint8 or floating-point on the scale 0 … 255; BGR where C is
            3, else without colours, and then numbers without saturation and hue.
        numbers (Tensor): (B, 11 + R), floating-point; see :class:`DrawColours`.

    Returns:
        Tensor: float32 (B, C, H, W) on the scale 0 … 255.

    Raises:
        ValueError: If there are other numbers than images, or too few of an image.
    """
    if numbers.ndim != 2 or len(numbers) != len(images) or numbers.shape[1] < 11:
        raise InputError(
            f'Colours of {len(images)} images are ({len(images)}, 11 or more numbers), as '
            f'DrawColours makes them, but are {tuple(numbers.shape)}.'
        )
    numbers = numbers.float()[..., None, None, None]  # (B,n,1,1,1): each number fits (B,C,H,W)
    pixels = images.float()
    for kind, factor in zip(numbers[:, :4].unbind(1), numbers[:, 4:8].unbind(1), strict=True):
        pixels = _jitter(pixels, kind, factor)
    pixels = torch.where(numbers[:, 8] > 0, _luma(pixels), pixels)
    half_kernel = numbers[:, 10:].unbind(1)
    for dim in (3, 2):
        pixels = _blur(pixels, half_kernel, dim)
    return torch.where(pixels < numbers[:, 9], pixels, 255 - pixels)


def _jitter(pixels: Tensor, kind: Tensor, factor: Tensor) -> Tensor:
    """One operation an image: three move it away from or towards something, one turns the hue."""
    luma = _luma(pixels)
    goal = torch.where(kind == _CONTRAST, luma.mean((1, 2, 3), keepdim=True), luma)
    goal = goal * (kind != _BRIGHTNESS)  # black
    moved = (goal + factor * (pixels - goal)).clamp_(0, 255)
    if pixels.shape[1] != 3:
        return moved
    return torch.where(kind == _HUE, _turn_hue(pixels, factor[:, 0]), moved)


def _luma(pixels: Tensor) -> Tensor:
    """(B, 1, H, W); of other channels than colours their mean, as contrast takes it."""
    if pixels.shape[1] != 3:
        return pixels.mean(1, keepdim=True)
    blue, green, red = pixels.split(1, dim=1)
    return 0.114 * blue + 0.587 * green + 0.299 * red


def _turn_hue(pixels: Tensor, turn: Tensor) -> Tensor:
    """Add a part of a full turn to the HSV hue of BGR pixels."""
    blue, green, red = pixels.unbind(1)  # (B,H,W)
    value = pixels.amax(1)
    chroma = value - pixels.amin(1)
    some = chroma.clamp(min=1e-6)
    hue = torch.where(value == green, 2 + (blue - red) / some, 4 + (red - green) / some)
    hue = torch.where(value == red, (green - blue) / some, hue) + 6 * turn  # in sixths
    # Of each channel, how far round the colour circle it is from where it is the least.
    places = [(hue + first) % 6 for first in (1, 3, 5)]
    return torch.stack(
        [value - chroma * torch.minimum(place, 4 - place).clamp_(0, 1) for place in places], 1
    )


def _blur(pixels: Tensor, half_kernel: tuple[Tensor, ...], dim: int) -> Tensor:
    """Filter along a dimension by symmetric kernels, their middle first; borders are repeated."""
    size, radius = pixels.shape[dim], len(half_kernel) - 1
    places = torch.arange(-radius, size + radius, device=pixels.device).clamp_(0, size - 1)
    padded = pixels.index_select(dim, places)
    # Sums and no convolution, which autocast would do in half precision.
    total = half_kernel[0] * pixels
    for offset, weight in enumerate(half_kernel[1:], start=1):
        before = padded.narrow(dim, radius - offset, size)
        total += weight * (before + padded.narrow(dim, radius + offset, size))
    return total
