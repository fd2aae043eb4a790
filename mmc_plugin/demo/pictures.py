"""Pictures of the page, as they are sent: in the text of the page itself."""

from __future__ import annotations

import base64

import cv2
import numpy as np
from matplotlib import colormaps

from ..visualization.similarity_map import SCALE, standardise

_COLOURS = (255 * colormaps['inferno'](np.arange(256))[:, :3]).round().astype(np.uint8)


def heat(image: np.ndarray, similarity: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The similarity as colours over the image, and the outline of what is selected.

    Args:
        image (np.ndarray): uint8 RGB (H, W, 3).
        similarity (np.ndarray): float (H, W).
        mask (np.ndarray): bool (H, W).

    Returns:
        np.ndarray: uint8 RGB (H, W, 3).
    """
    low, high = SCALE
    level = (standardise(similarity) - low) * (255 / (high - low))
    colours = _COLOURS[level.clip(0, 255).astype(np.uint8)]
    grey = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    return _outlined(cv2.addWeighted(grey, 0.35, colours, 0.65, 0), mask)


def cut_out(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The selected object in its colours, all else pale and grey."""
    grey = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    pale = cv2.addWeighted(grey, 0.3, np.full_like(grey, 255), 0.55, 0)
    return _outlined(np.where(mask[..., None], image, pale), mask)


def enlarged(cells: np.ndarray, image: np.ndarray) -> np.ndarray:
    """Colours of patches, float (h, w, 3) in [0, 1], at the size of the image."""
    pixels = (255 * cells).round().astype(np.uint8)
    return cv2.resize(pixels, image.shape[1::-1], interpolation=cv2.INTER_NEAREST)


def _outlined(picture: np.ndarray, mask: np.ndarray) -> np.ndarray:
    unit = max(1, round(min(mask.shape) / 250))
    lines, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    picture = np.ascontiguousarray(picture)
    for colour, thickness in ((0, 3 * unit), (255, unit)):
        cv2.drawContours(picture, lines, -1, [colour] * 3, thickness, cv2.LINE_AA)
    return picture


def jpeg_uri(image: np.ndarray, quality: int = 88) -> str:
    """A picture as the ``src`` of an ``<img>``."""
    _, coded = cv2.imencode('.jpg', image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    return data_uri('image/jpeg', coded.tobytes())


def png_bytes(image: np.ndarray) -> bytes:
    """A grey or RGB picture as a PNG file."""
    _, coded = cv2.imencode('.png', image if image.ndim == 2 else image[..., ::-1])
    return coded.tobytes()


def data_uri(kind: str, content: bytes) -> str:
    """Content as a data URI."""
    return f'data:{kind};base64,{base64.b64encode(content).decode()}'
