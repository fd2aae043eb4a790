"""Decoding with Pillow, within limits of memory and time, and the colours of its modes."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Iterator

import cv2
import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from .image_headers import UndecodableError, check_lists, check_tiff, webp_header

# Pillow would try every plugin it has, and some start other programs (EPS runs Ghostscript).
_FORMATS = ('JPEG', 'PNG', 'GIF', 'WEBP', 'BMP', 'DIB', 'TIFF', 'PPM')
# Memory that a decoding may take, in bytes for each of the pixels that are allowed.
BYTES_PER_PIXEL = 8
# Pillow's memory for a pixel of each mode, 4 of the others.
_MODE_BYTES = {'1': 1, 'L': 1, 'P': 1, 'I;16': 2, 'I;16B': 2, 'I;16L': 2, 'I;16N': 2}
# Canvas and previous canvas of libwebp, a copy as bytes, Pillow's pixels, and some for decoding.
_WEBP_BYTES = 17
# Decoders that Pillow wrote in Python: about a microsecond for each pixel or byte.
_PYTHON_DECODERS = ('ppm_plain', 'ppm', 'bmp_rle')
_MAX_PYTHON_PIXELS = 2**20
_WIDTH, _BITS, _COMPRESSION, _PHOTOMETRIC = 256, 258, 259, 262
_SAMPLES, _ROWS, _TILE_WIDTH, _TILE_LENGTH = 277, 278, 322, 323
_JPEG_IN_TIFF, _FAX, _YCBCR = (6, 7), (2, 3, 4), 6
# Pixels converted at a time.
_BLOCK = 2**20


def too_large(max_pixels: int) -> str:
    """Why an image above the limit is refused."""
    return f'larger than {max_pixels} pixels (max_pixels of LoadImage)'


def too_costly(pixels: int, max_pixels: int) -> str:
    """Why an image below the limit, whose decoding takes too much memory, is refused."""
    return (
        f'decoding its {pixels} pixels takes more than {BYTES_PER_PIXEL * max_pixels >> 20} MiB '
        f'({BYTES_PER_PIXEL} bytes for each of max_pixels={max_pixels} of LoadImage)'
    )


def large_for_pillow(pixels: int, max_pixels: int) -> bool:
    """Whether Pillow takes too much memory for a WebP of so many pixels."""
    return _WEBP_BYTES * pixels > BYTES_PER_PIXEL * max_pixels


def _check_cost(image: Image.Image, data: bytes, max_pixels: int, coefficients: int) -> None:
    """Refuse an opened, not yet decoded image that takes too much memory or time."""
    pixels = image.width * image.height
    if pixels > max_pixels:
        raise UndecodableError(too_large(max_pixels))
    own = _MODE_BYTES.get(image.mode, 4) * pixels
    decoding = own + coefficients
    if image.format == 'WEBP':
        decoding = _WEBP_BYTES * pixels
    elif image.format == 'TIFF':
        decoding += _tiff_buffer(image)
    if max(decoding, own + 3 * pixels) > BYTES_PER_PIXEL * max_pixels:
        raise UndecodableError(too_costly(pixels, max_pixels))
    if any(tile[0] in _PYTHON_DECODERS for tile in getattr(image, 'tile', ())) and (
        pixels > _MAX_PYTHON_PIXELS or len(data) > 4 * _MAX_PYTHON_PIXELS
    ):
        raise UndecodableError(
            f'larger than {_MAX_PYTHON_PIXELS} pixels in a form that is slow to decode '
            '(run-length BMP, or PPM as text or of odd depth): save it as PNG'
        )


def _tag(image: Image.Image, tag: int, default: int) -> int:
    """A number of a TIFF directory; of a list, the largest."""
    value = image.tag_v2.get(tag, default)
    numbers = [each for each in np.atleast_1d(value).tolist() if isinstance(each, int)]
    return max(numbers, default=default)


def _tiff_buffer(image: Image.Image) -> int:
    """Bytes of one strip or tile, which libtiff decodes at once."""
    if _tag(image, _COMPRESSION, 1) == 1:
        return 0
    bits = _tag(image, _BITS, 1) * _tag(image, _SAMPLES, 1)
    if _tag(image, _COMPRESSION, 1) in _JPEG_IN_TIFF:
        bits = max(bits, 32)  # read as RGBA
    if _TILE_WIDTH in image.tag_v2:
        area = _tag(image, _TILE_WIDTH, 0) * _tag(image, _TILE_LENGTH, 0)
    else:
        area = image.width * min(_tag(image, _ROWS, image.height), image.height)
    return area * bits // 8


def _may_be_unfilled(image: Image.Image) -> bool:
    """Whether damage can make Pillow show what was in memory before.

    Where a fax or JPEG strip ends early libtiff leaves the rest of the buffer as it finds it.
    OpenCV has the same pixels and clears the buffer. Of YCbCr libtiff itself makes RGBA.
    """
    compression = _tag(image, _COMPRESSION, 1)
    return compression in _FAX or (
        compression in _JPEG_IN_TIFF and _tag(image, _PHOTOMETRIC, 1) != _YCBCR
    )


def open_with_pillow(data: bytes, max_pixels: int, coefficients: int = 0) -> Image.Image:
    """Open, check the size, then decode and turn upright.

    Args:
        data: Content of a file.
        max_pixels: See :class:`LoadImage`.
        coefficients: Memory in bytes that a JPEG takes beside its pixels.

    Raises:
        UndecodableError: The content cannot be used; the message says why.
    """
    check_lists(data)
    webp = webp_header(data)
    if webp is not None and webp.pixels > max_pixels:
        raise UndecodableError(too_large(max_pixels))
    if webp is not None and large_for_pillow(webp.pixels, max_pixels):
        raise UndecodableError(too_costly(webp.pixels, max_pixels))  # opening takes memory, too
    try:
        with warnings.catch_warnings():
            # Size and defects are told by our own sentences.
            warnings.simplefilter('ignore')
            image = Image.open(io.BytesIO(data), formats=_FORMATS)
            _check_cost(image, data, max_pixels, coefficients)
            image.load()
            exif = image.info.get('exif', b'').removeprefix(b'Exif\0\0')
            if exif[:2] in (b'II', b'MM'):
                check_tiff(exif)
            ImageOps.exif_transpose(image, in_place=True)
            return image
    except (UndecodableError, MemoryError):
        raise
    except UnidentifiedImageError as error:
        raise UndecodableError(
            'not an image in a known format, or its header is damaged'
        ) from error
    except Image.DecompressionBombError as error:
        raise UndecodableError(f'larger than Pillow accepts ({error})') from error
    except Exception as error:
        # Decoders meet foreign bytes here: besides OSError, Pillow lets through SyntaxError,
        # ValueError, struct.error, IndexError and more. All of them mean a broken file.
        raise UndecodableError(f'truncated or damaged ({error or type(error).__name__})') from error


def decode_with_pillow(data: bytes, max_pixels: int, coefficients: int = 0) -> np.ndarray:
    """Decode a file of any format to uint8 BGR (H, W, 3); see :func:`open_with_pillow`."""
    image = open_with_pillow(data, max_pixels, coefficients)
    if image.format == 'TIFF' and _may_be_unfilled(image):
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
        if pixels is None or pixels.shape[:2] != (image.height, image.width):
            raise UndecodableError('truncated or damaged (fax or JPEG in TIFF)')
        return pixels
    return pillow_to_bgr(image)


def upright(image: Image.Image) -> Image.Image:
    """A copy of an image, turned as its EXIF says, that knows what its numbers mean."""
    turned = ImageOps.exif_transpose(image)
    for name in ('format', 'tag_v2'):
        if hasattr(image, name):
            setattr(turned, name, getattr(image, name))
    return turned


def pillow_to_bgr(image: Image.Image) -> np.ndarray:
    """Pixels of an image of any mode as uint8 BGR (H, W, 3).

    Integers of 16 bits keep their upper byte; those of 32 bits do, too, unless none is above 255,
    which are taken as they are.

    Raises:
        UndecodableError: If its mode has no clear meaning as colours.
    """
    if image.mode == 'F':
        raise UndecodableError('floating-point pixels, whose range is unknown')
    to_bytes = _deep_grey(image) if image.mode.startswith('I') else _colours
    pixels = np.empty((image.height, image.width, 3), np.uint8)
    for top, block in _blocks(image):
        pixels[top : top + block.height] = to_bytes(block)
    return pixels


def _blocks(image: Image.Image) -> Iterator[tuple[int, Image.Image]]:
    """Yield (first row, rows) a few at a time: conversions take several copies."""
    rows = max(1, _BLOCK // max(1, image.width))
    for top in range(0, image.height, rows):
        yield top, image.crop((0, top, image.width, min(top + rows, image.height)))


def _colours(block: Image.Image) -> np.ndarray:
    try:
        return np.asarray(block.convert('RGB'))[..., ::-1]
    except ValueError as error:
        raise UndecodableError(f'no conversion from mode {block.mode} to RGB') from error


def _deep_grey(image: Image.Image) -> Callable[[Image.Image], np.ndarray]:
    """What turns grey values of more than 8 bits into (H, W, 1) bytes."""
    # Pillow's own conversion clips 16 bits to 255; keep the upper byte instead, as libpng does.
    greys = (np.asarray(block) for _, block in _blocks(image))
    lowest, highest = np.array([(grey.min(), grey.max()) for grey in greys]).T.astype(int)
    if lowest.min() < 0 or highest.max() > 0xFFFF:
        raise UndecodableError('grey values outside 0 … 65535')
    tags = getattr(image, 'tag_v2', {}) if image.format == 'TIFF' else {}
    bits = _tag(image, _BITS, 16) if tags else 16
    if bits == 32:  # says nothing of the range that is used
        bits = 16 if highest.max() > 0xFF else 8
    shift = bits - 8 if bits in (8, 12) else 8
    flip = 0xFF if tags and _tag(image, _PHOTOMETRIC, 1) == 0 else 0  # 0: the least is white
    return lambda block: (np.asarray(block) >> shift).astype(np.uint8)[..., None] ^ flip
