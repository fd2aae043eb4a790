"""Reading photographs as they are found: every common format, and a sentence for what is broken."""

import os
import stat
from collections.abc import Sequence

import cv2
import numpy as np
from mmpretrain.registry import TRANSFORMS

from ...errors import InputError, RunError
from .base import Transform, is_integer, is_number
from .channels import decode_channels
from .image_headers import UndecodableError, webp_header
from .jpeg_headers import JpegHeader, read_jpeg_header
from .pillow_images import (
    BYTES_PER_PIXEL,
    decode_with_pillow,
    large_for_pillow,
    open_with_pillow,
    too_large,
)

_START, _END = b'\xff\xd8\xff', b'\xff\xd9'
_REDUCED = (
    (1, cv2.IMREAD_COLOR),
    (2, cv2.IMREAD_REDUCED_COLOR_2),
    (4, cv2.IMREAD_REDUCED_COLOR_4),
    (8, cv2.IMREAD_REDUCED_COLOR_8),
)
# Default of the largest image, and the largest file that is read.
MAX_PIXELS = 2**25
MAX_BYTES = 2**28


class UnreadableImageError(RunError):
    """An image file that cannot be used for training, and in words why."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(path, reason)
        self.path = path
        self.reason = reason

    def __str__(self) -> str:
        return f'cannot read the image {self.path!r}: {self.reason}'


def _decode_jpeg(
    data: bytes, max_pixels: int, reduction: int, header: JpegHeader | None
) -> np.ndarray | None:
    """Decode a grey or colour JPEG with OpenCV, or with Pillow what OpenCV does not read."""
    header = header or read_jpeg_header(data)
    if header is None:
        return decode_with_pillow(data, max_pixels)
    coefficients = header.coefficient_bytes
    flag = None
    if header.components in (1, 3):  # of CMYK and YCCK, Pillow knows Adobe's inverted inks
        flag = _choose_size(header.pixels, coefficients, max_pixels, reduction)
    if flag is None and header.pixels > max_pixels:
        raise UndecodableError(too_large(max_pixels))
    complete = data.endswith(_END)
    if header.pixels > max_pixels and not complete:
        raise UndecodableError('truncated: the end-of-image marker is missing')
    if header.least_bytes > len(data):
        raise UndecodableError(
            f'truncated or damaged: {len(data)} bytes cannot hold {header.pixels} pixels'
        )
    if flag is None:
        return decode_with_pillow(data, max_pixels, coefficients)
    if not complete:
        # OpenCV may give nothing for a cut file or fill it up with grey, depending on its version.
        # Pillow tells a cut file from a whole one with something after its end, at the price of a
        # second decoding.
        open_with_pillow(data, max_pixels, coefficients)
    image = _by_opencv(data, flag)
    # Pillow has the better words.
    return decode_with_pillow(data, max_pixels, coefficients) if image is None else image


def _choose_size(pixels: int, coefficients: int, max_pixels: int, reduction: int) -> int | None:
    """OpenCV's flag for the largest size that fits, None if none does."""
    for factor, flag in _REDUCED:
        if factor < reduction:
            continue
        decoded = pixels / factor**2
        # The coefficients are given back before the picture is turned, which takes a copy.
        memory = max(coefficients + 3 * decoded, 2 * 3 * decoded)
        if decoded <= max_pixels and memory <= BYTES_PER_PIXEL * max_pixels:
            return flag
    return None


def _by_opencv(data: bytes, flag: int = cv2.IMREAD_COLOR) -> np.ndarray | None:
    try:
        return cv2.imdecode(np.frombuffer(data, np.uint8), flag)
    except cv2.error:
        return None


def _decode_large_webp(data: bytes, max_pixels: int) -> np.ndarray | None:
    """Decode with OpenCV a WebP that is too large for Pillow, which takes twice the memory.

    Both have the same pixels. None where it is no such file or there is more to it than pixels.
    """
    header = webp_header(data)
    if header is None or not header.plain or header.pixels > max_pixels:
        return None
    return _by_opencv(data) if large_for_pillow(header.pixels, max_pixels) else None


def decode_image(
    data: bytes, max_pixels: int, reduction: int = 1, header: JpegHeader | None = None
) -> np.ndarray:
    """Decode an image file's content to uint8 (H, W, 3), BGR, upright; see :class:`LoadImage`.

    A JPEG is decoded at 1/``reduction`` of its size (1, 2, 4 or 8) or smaller, which takes the
    fewer coefficients of each block into account; anything else has its full size. ``header`` is
    that of a JPEG, if it was read already.

    Raises:
        UndecodableError: The content cannot be used; the message says why.
    """
    if not data:
        raise UndecodableError('the file is empty (zero bytes)')
    if data.startswith(_START):
        return _decode_jpeg(data, max_pixels, reduction, header)
    image = _decode_large_webp(data, max_pixels)
    return decode_with_pillow(data, max_pixels) if image is None else image


def read_image_file(path: str) -> bytes:
    """Content of an image file, at most ``MAX_BYTES``.

    Raises:
        UnreadableImageError: It cannot be read, is no file (a pipe or device may never end), or is
            larger.
    """
    try:
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode) and not stat.S_ISDIR(status.st_mode):
            raise UnreadableImageError(path, 'a pipe or device, not a file')
        if status.st_size <= MAX_BYTES:
            with open(path, 'rb') as file:  # of a folder the system says that it is one
                # Python allots as many bytes as are asked for, which for MAX_BYTES takes longer
                # than reading; more than the size is there only while a file grows.
                data = file.read(status.st_size + 1)
                if len(data) > status.st_size:
                    data += file.read(MAX_BYTES + 1 - len(data))
            if len(data) <= MAX_BYTES:
                return data
    except OSError as error:
        raise UnreadableImageError(path, error.strerror or str(error)) from error
    except ValueError as error:  # NUL in the name
        raise UnreadableImageError(path, str(error)) from error
    raise UnreadableImageError(path, f'the file is larger than {MAX_BYTES >> 20} MiB')


@TRANSFORMS.register_module()
class LoadImage(Transform):
    """Read an image file as BGR uint8, whatever its colour model, depth or orientation.

    - Grey and palette images become colour; CMYK is converted as Adobe stores it.
    - Transparency is dropped: the stored colours under it are kept.
    - 16-bit samples keep their upper byte. Grey of 32 bits does, too, unless none is above 255.
    - The EXIF orientation is applied.
    - Of an animation the first frame is taken.
    - A JPEG above ``max_pixels`` is decoded at 1/2, 1/4 or 1/8 of its size, the largest that fits.
      Anything else above it is refused from its header, without decoding.
    - Decoding takes at most 8 bytes of memory for each of ``max_pixels``, of which the picture is
      3, beside the file itself (at most 256 MiB). What would take more is refused from its header:
      RGB takes 7 at most; WebP with animation, transparency or EXIF takes 17, TIFF with 16 bits per
      colour in a single compressed strip 10. A progressive JPEG with full chroma takes 9 and is
      decoded smaller.
    - Refused, too, are files that only keep a decoder busy: JPEG of more than 50 scans, lists of
      thousands of empty segments, chunks or tags, text PPM and run-length BMP above 2**20 pixels.

    Required keys: ``img_path``. Optional: ``img_bytes``, the content of a file. Added keys: ``img``
    (uint8 (H, W, 3)), ``img_shape`` and ``ori_shape`` (both (H, W) of ``img`` as decoded).

    Args:
        max_pixels (int): Largest number of pixels decoded. Defaults to 2**25, so that decoding
            takes at most 256 MiB.
        in_channels (int): C. Defaults to 3, as said above. With another number ``img`` is float32
            (H, W, C) on the scale 0 … 255, of ``.npy``, TIFF, grey or RGBA images, see
            :func:`decode_channels`; the key ``in_channels`` of a config sets it.
        value_range (Sequence[float], optional): With another number: the values of a file that
            become 0 and 255, such as (0, 10000). Defaults to None: those of 8 or 16 bits.

    Raises:
        UnreadableImageError: The file cannot be read, is truncated, damaged or too large, or has
            other channels.
        ValueError: An argument is out of range.
    """

    def __init__(
        self,
        max_pixels: int = MAX_PIXELS,
        in_channels: int = 3,
        value_range: Sequence[float] | None = None,
    ) -> None:
        if not is_integer(in_channels) or in_channels < 1:
            raise InputError(f'in_channels must be a whole number from 1, got {in_channels!r}.')
        if value_range is not None:
            numbers = isinstance(value_range, list | tuple) and len(value_range) == 2
            if not numbers or not all(map(is_number, value_range)):
                raise InputError(f'value_range must be two numbers, got {value_range!r}.')
            if value_range[0] >= value_range[1] or in_channels == 3:
                raise InputError(
                    f'value_range={tuple(value_range)} must rise, and needs in_channels other '
                    f'than 3, got in_channels={in_channels}.'
                )
        self.max_pixels = max_pixels
        self.in_channels, self.value_range = in_channels, value_range

    def transform(self, results: dict) -> dict:
        """Read ``results['img_path']``."""
        return self._decode(results, self._read(results))

    @staticmethod
    def _read(results: dict) -> bytes:
        data = results.pop('img_bytes', None)  # of an image that is no file of its own
        return read_image_file(results['img_path']) if data is None else data

    def _decode(
        self, results: dict, data: bytes, reduction: int = 1, header: JpegHeader | None = None
    ) -> dict:
        try:
            if self.in_channels == 3:
                image = decode_image(data, self.max_pixels, reduction, header)
            else:
                image = decode_channels(data, self.in_channels, self.max_pixels, self.value_range)
        except UndecodableError as error:
            raise UnreadableImageError(results['img_path'], str(error)) from error
        results['img'] = image
        results['img_shape'] = results['ori_shape'] = image.shape[:2]
        return results
