"""What a visitor may give to the page, and what becomes of it."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np

from ..apis.features import to_pixels
from ..apis.video import read_video
from ..datasets.transforms.loading import UnreadableImageError
from ..errors import InputError

IMAGE_BYTES = 20 * 2**20
VIDEO_BYTES = 64 * 2**20
MOST_FRAMES = 120
IMAGE_SIDE = 1024  # pixels that the longer side of what is worked on has at most
FRAME_SIDE = 640
FRAME_PIXELS = 2**25
CLIP_PIXELS = 2**29  # of all frames: 120 of 2560 x 1440, 64 of 3840 x 2160; bounds the seconds
_MATROSKA = b'\x1aE\xdf\xa3'
_IMAGES = (b'\xff\xd8\xff', b'\x89PNG\r\n\x1a\n', b'BM')


def read_image(data: bytes) -> tuple[np.ndarray, tuple[int, int]]:
    """Decode an uploaded image.

    Args:
        data (bytes): Content of a JPEG, PNG, WebP or BMP file.

    Returns:
        tuple[np.ndarray, tuple[int, int]]: uint8 RGB (H, W, 3) with a longer side of at most
        :data:`IMAGE_SIDE`, and width and height of the image as it was given.

    Raises:
        ValueError: If it is of another type, damaged, or has too many bytes or pixels.
    """
    if len(data) > IMAGE_BYTES:
        raise InputError(f'The image is larger than {IMAGE_BYTES >> 20} MB: make it smaller.')
    if not _is_image(data):
        raise InputError('This is no JPEG, PNG, WebP or BMP image: choose another file.')
    try:
        pixels = to_pixels(data).permute(1, 2, 0).numpy()
    except UnreadableImageError as error:
        raise InputError(f'The image cannot be read: {error.reason}.') from error
    return _at_most(pixels, IMAGE_SIDE), pixels.shape[1::-1]


def read_clip(files: Sequence[bytes]) -> tuple[list[bytes], bool]:
    """Frames of an uploaded video, or of images in their order.

    Args:
        files (Sequence[bytes]): One MP4, QuickTime, WebM, Matroska or AVI file, or images.

    Returns:
        tuple[list[bytes], bool]: The first :data:`MOST_FRAMES` frames, or fewer, of
        :data:`CLIP_PIXELS` together, as JPEG of one size with a longer side of at most
        :data:`FRAME_SIDE`; whether there are more.

    Raises:
        ValueError: If it is neither, damaged, or has too many pixels; of several images the text
            begins with "File" and the place of the first that cannot be used, counted from 1.
    """
    if not files:
        raise InputError('There is no file: choose a video, or the frames of one.')
    if len(files) > 1:
        return _kept(_frames(files), 'File')
    if _is_image(files[0]):
        raise InputError('This is no video but one image: choose a video, or several frames.')
    # A list of other files, as players read them, would be opened too.
    if not (files[0][4:8] == b'ftyp' or files[0][:4] == _MATROSKA or _riff(files[0]) == b'AVI '):
        raise InputError('This is no MP4, QuickTime, WebM, Matroska or AVI video: choose another.')
    with tempfile.TemporaryDirectory(prefix='mmc-demo-') as folder:
        path = os.path.join(folder, 'clip')
        Path(path).write_bytes(files[0])
        try:
            frames = read_video(path, FRAME_PIXELS)
            return _kept(((frame, frame.shape[1::-1]) for frame in frames), 'Frame')
        except InputError as error:  # without the folder's name
            raise InputError(str(error).replace(repr(path), 'the video')) from None


def _frames(files: Sequence[bytes]) -> Iterator[tuple[np.ndarray, tuple[int, int]]]:
    for place, data in enumerate(files, 1):
        try:
            yield read_image(data)
        except InputError as error:
            raise InputError(f'File {place}: {error}') from None


def _kept(
    frames: Iterable[tuple[np.ndarray, tuple[int, int]]], what: str
) -> tuple[list[bytes], bool]:
    kept, size, pixels = [], None, 0
    for place, (frame, (width, height)) in enumerate(frames, 1):
        pixels += width * height
        if place > MOST_FRAMES or (kept and pixels > CLIP_PIXELS):
            return kept, True
        frame = _at_most(np.ascontiguousarray(frame), FRAME_SIDE)
        size = size or frame.shape
        if frame.shape != size:
            raise InputError(
                f'{what} {place} and the first have different sizes: choose the frames of one '
                'video.'
            )
        _, coded = cv2.imencode('.jpg', frame[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95])
        kept.append(coded.tobytes())
    return kept, False


def _is_image(data: bytes) -> bool:
    return data.startswith(_IMAGES) or _riff(data) == b'WEBP'


def _riff(data: bytes) -> bytes:
    return data[8:12] if data[:4] == b'RIFF' else b''


def _at_most(image: np.ndarray, side: int) -> np.ndarray:
    scale = side / max(image.shape[:2])
    if scale >= 1:
        return np.ascontiguousarray(image)
    size = [max(1, round(scale * each)) for each in image.shape[1::-1]]
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)
