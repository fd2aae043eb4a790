"""Reading images of any number of channels: microscopy, satellites, depth."""

from __future__ import annotations

import io
import math

import numpy as np

from ...errors import needing
from .image_headers import UndecodableError, check_lists
from .pillow_images import BYTES_PER_PIXEL, open_with_pillow, too_large

_NUMPY = b'\x93NUMPY'
_TIFF = (b'II*\0', b'MM\0*', b'II+\0', b'MM\0+')


def decode_channels(
    data: bytes, channels: int, max_pixels: int, value_range: tuple[float, float] | None = None
) -> np.ndarray:
    """Decode a file's content to float32 (H, W, ``channels``) on the scale 0 … 255.

    Read are arrays of NumPy (``.npy``) and TIFF of any number of bands or pages, both channels
    last or first, and what Pillow reads as grey (1 channel) or RGBA (4). Of colour images with
    ``channels=1`` the luma is taken. Values of 8 and 16 bits keep all their levels.

    Args:
        data: Content of a file.
        channels: C.
        max_pixels: See :class:`LoadImage`.
        value_range: The values that become 0 and 255; what lies outside is clipped. By default
            those of the type, 0 … 255 or 0 … 65535; needed for other types.

    Raises:
        UndecodableError: The content cannot be used; the message says why.
    """
    if data.startswith(_NUMPY):
        values = _numpy(data, channels, max_pixels)
    elif data.startswith(_TIFF):
        values = _tiff(data, channels, max_pixels)
    else:
        values = _by_pillow(data, channels, max_pixels)
    return _scaled(_last(values, channels), value_range)


def _check_shape(shape: tuple[int, ...], item: int, channels: int, max_pixels: int) -> None:
    """Refuse an array by its header, before there is memory for it."""
    size = math.prod(shape) // channels
    if size > max_pixels:
        raise UndecodableError(too_large(max_pixels))
    if size * channels * max(item, 4) > BYTES_PER_PIXEL * max_pixels:
        raise UndecodableError(
            f'{channels} channels of its {size} pixels take more than '
            f'{BYTES_PER_PIXEL * max_pixels >> 20} MiB ({BYTES_PER_PIXEL} bytes for each of '
            f'max_pixels={max_pixels} of LoadImage)'
        )


def _numpy(data: bytes, channels: int, max_pixels: int) -> np.ndarray:
    file = io.BytesIO(data)
    try:
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0
        shape, _, dtype = (read if version == (1, 0) else np.lib.format.read_array_header_2_0)(file)
        _check_shape(shape, dtype.itemsize, channels, max_pixels)
        return np.load(io.BytesIO(data), allow_pickle=False)
    except UndecodableError:
        raise
    except (ValueError, EOFError, OSError, SyntaxError) as error:
        raise UndecodableError(f'no whole array of NumPy ({error})') from error


def _tiff(data: bytes, channels: int, max_pixels: int) -> np.ndarray:
    check_lists(data)
    with needing('install tifffile to read TIFF with in_channels other than 3'):
        import tifffile
    try:
        with tifffile.TiffFile(io.BytesIO(data)) as file:
            series = file.series[0]
            _check_shape(series.shape, series.dtype.itemsize, channels, max_pixels)
            return series.asarray()
    except UndecodableError:
        raise
    except Exception as error:
        # A decoder of foreign bytes: TiffFileError, struct.error, ValueError, IndexError and more.
        raise UndecodableError(f'truncated or damaged ({error or type(error).__name__})') from error


def _by_pillow(data: bytes, channels: int, max_pixels: int) -> np.ndarray:
    image = open_with_pillow(data, max_pixels)
    if channels == 1 and not image.mode.startswith(('I', 'F')):
        image = image.convert('L')
    elif image.mode in ('P', 'PA') and 'transparency' in image.info:
        image = image.convert('RGBA')
    return np.asarray(image)


def _last(values: np.ndarray, channels: int) -> np.ndarray:
    """An array with its channels on the last axis."""
    if values.ndim == 2:
        values = values[..., None]
    if values.ndim == 3 and values.shape[-1] != channels and values.shape[0] == channels:
        values = np.moveaxis(values, 0, -1)
    if values.ndim != 3 or values.shape[-1] != channels or values.size == 0:
        raise UndecodableError(
            f'an array {values.shape}, where in_channels={channels} needs (height, width, '
            f'{channels}) or ({channels}, height, width)'
        )
    return values


def _scaled(values: np.ndarray, value_range: tuple[float, float] | None) -> np.ndarray:
    if value_range is None:
        if values.dtype not in (np.uint8, np.uint16):
            raise UndecodableError(
                f'values of type {values.dtype}, whose range is unknown: say with value_range of '
                'LoadImage which of them become 0 and 255'
            )
        value_range = 0, np.iinfo(values.dtype).max
    elif values.dtype.kind not in 'buif':
        raise UndecodableError(f'values of type {values.dtype}, which are no numbers')
    low, high = value_range
    scaled = (values.astype(np.float32) - np.float32(low)) * np.float32(255 / (high - low))
    if not np.isfinite(scaled).all():
        raise UndecodableError('values that are not finite')
    return np.ascontiguousarray(scaled.clip(0, 255))
