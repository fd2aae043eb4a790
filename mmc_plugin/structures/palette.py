"""Images of indices: the colours of Pascal VOC and DAVIS, and PNG files of them."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image


def _colours() -> np.ndarray:
    """Bits 0, 3, 6 of an index are the highest bits of its red, 1, 4, 7 of green, 2, 5 of blue."""
    index = np.arange(256)
    bits = (index[:, None] >> np.arange(9)) & 1  # (256, 9), the last one 0
    weights = 1 << np.array([7, 6, 5])
    return (bits.reshape(256, 3, 3) * weights[:, None]).sum(1).astype(np.uint8)


PALETTE = _colours()
"""uint8 RGB (256, 3)."""


def encode_palette(mask: np.ndarray) -> bytes:
    """A PNG file of a mask, as the official evaluation of DAVIS reads it.

    Args:
        mask (np.ndarray): uint8 (H, W).
    """
    image = Image.fromarray(mask)
    image.putpalette(PALETTE.ravel())
    file = io.BytesIO()
    image.save(file, 'PNG')
    return file.getvalue()


def decode_palette(content: bytes) -> np.ndarray:
    """What :func:`encode_palette` was given."""
    with Image.open(io.BytesIO(content)) as image:
        return np.array(image)
