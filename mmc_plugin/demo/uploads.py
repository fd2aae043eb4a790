"""What a visitor may give to the page, and what becomes of it."""

from __future__ import annotations

import base64
import binascii
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ..apis.features import to_pixels
from ..apis.video import read_video
from ..errors import InputError

IMAGE_BYTES = 20 * 2**20
VIDEO_BYTES = 64 * 2**20
MOST_FRAMES = 120
IMAGE_SIDE = 1024  # pixels that the longer side of what is worked on has at most
FRAME_SIDE = 640
_SIGNS = ((b'\xff\xd8\xff', 'JPEG'), (b'\x89PNG\r\n\x1a\n', 'PNG'), (b'BM', 'BMP'))


def decoded(given: Any, most: int) -> bytes:
    """Bytes of a base64 text of an event.

    Raises:
        ValueError: If it is none, or longer than ``most`` bytes.
    """
    if not isinstance(given, str):
        raise InputError('What was sent is no file.')
    if len(given) > 4 * (most + 2) // 3 + 4:
        raise InputError(f'The file is larger than {most >> 20} MB: make it smaller.')
    try:
        return base64.b64decode(given, validate=True)
    except (binascii.Error, ValueError):
        raise InputError('What was sent is no file.') from None


def read_image(data: bytes) -> tuple[np.ndarray, tuple[int, int]]:
    """Decode an uploaded image.

    Args:
        data (bytes): Content of a JPEG, PNG, WebP or BMP file.

    Returns:
        tuple[np.ndarray, tuple[int, int]]: uint8 RGB (H, W, 3) with a longer side of at most
        :data:`IMAGE_SIDE`, and width and height of the image as it was given.

    Raises:
        ValueError: If it is of another type.
        UnreadableImageError: If it is damaged or has too many pixels.
    """
    webp = data[:4] == b'RIFF' and data[8:12] == b'WEBP'
    if not webp and not any(data.startswith(sign) for sign, _ in _SIGNS):
        raise InputError('This is no JPEG, PNG, WebP or BMP image: choose another file.')
    pixels = to_pixels(data).permute(1, 2, 0).numpy()
    return _at_most(pixels, IMAGE_SIDE), pixels.shape[1::-1]


def read_clip(files: Sequence[bytes]) -> tuple[list[bytes], tuple[int, int], bool]:
    """Frames of an uploaded video, or of images in their order.

    Args:
        files (Sequence[bytes]): One video, or images.

    Returns:
        tuple[list[bytes], tuple[int, int], bool]: The first :data:`MOST_FRAMES` frames as JPEG of
        one size, with a longer side of at most :data:`FRAME_SIDE`; their width and height; whether
        there are more.

    Raises:
        ValueError: If it is neither.
    """
    if not files:
        raise InputError('There is no file: choose a video, or the frames of one.')
    if len(files) > 1:
        frames = (to_pixels(each).permute(1, 2, 0).numpy() for each in files)
        return _kept(frames)
    with tempfile.TemporaryDirectory(prefix='mmc-demo-') as folder:
        path = os.path.join(folder, 'clip')
        Path(path).write_bytes(files[0])
        return _kept(read_video(path))


def _kept(frames) -> tuple[list[bytes], tuple[int, int], bool]:
    kept, size = [], None
    for frame in frames:
        if len(kept) == MOST_FRAMES:
            return kept, size, True
        if frame.shape[0] * frame.shape[1] > 2**25:
            raise InputError('The frames have more than 33 million pixels: make them smaller.')
        frame = _at_most(np.ascontiguousarray(frame), FRAME_SIDE)
        size = size or frame.shape[1::-1]
        if frame.shape[1::-1] != size:
            raise InputError('The frames have different sizes: they must be of one video.')
        _, coded = cv2.imencode('.jpg', frame[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95])
        kept.append(coded.tobytes())
    return kept, size, False


def _at_most(image: np.ndarray, side: int) -> np.ndarray:
    scale = side / max(image.shape[:2])
    if scale >= 1:
        return np.ascontiguousarray(image)
    size = [max(1, round(scale * each)) for each in image.shape[1::-1]]
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)
