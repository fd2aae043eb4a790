"""Reading photographs as they are found: every common format, and a sentence for what is broken."""

import io
import warnings
from collections.abc import Iterator

import cv2
import numpy as np
from mmcv.transforms import BaseTransform
from mmpretrain.registry import TRANSFORMS
from PIL import Image, ImageOps, UnidentifiedImageError

from ...errors import RunError

# Pillow would try every plugin it has, and some start other programs (EPS runs Ghostscript).
_PILLOW_FORMATS = ('JPEG', 'PNG', 'GIF', 'WEBP', 'BMP', 'DIB', 'TIFF', 'PPM')
_START, _END = b'\xff\xd8\xff', b'\xff\xd9'
# Start-of-frame markers: C0 … CF without DHT (C4), JPG (C8) and DAC (CC).
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_SEQUENTIAL = (0xC0, 0xC1)
_SCAN = 0xDA
_REDUCED = (
    (2, cv2.IMREAD_REDUCED_COLOR_2),
    (4, cv2.IMREAD_REDUCED_COLOR_4),
    (8, cv2.IMREAD_REDUCED_COLOR_8),
)


class UnreadableImageError(RunError):
    """An image file that cannot be used for training.

    Args:
        path: The file.
        reason: Why, in words.
    """

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(path, reason)
        self.path = path
        self.reason = reason

    def __str__(self) -> str:
        return f'cannot read the image {self.path!r}: {self.reason}'


class UndecodableError(Exception):
    """Why bytes are not an image, before it is known which file they come from."""


def _jpeg_segments(data: bytes) -> Iterator[tuple[int, int]]:
    """Yield (marker, offset of the payload) of the header segments of a JPEG file."""
    position = 2
    while position + 4 <= len(data) and data[position] == 0xFF:
        marker = data[position + 1]
        if marker == 0xFF:  # fill byte
            position += 1
            continue
        yield marker, position + 4
        if marker == _SCAN:
            return
        position += 2 + int.from_bytes(data[position + 2 : position + 4], 'big')


def _jpeg_frame(data: bytes) -> tuple[int, int, int] | None:
    """(pixels, components, marker) from the frame header, None where there is none."""
    for marker, at in _jpeg_segments(data):
        if marker in _FRAMES and at + 6 <= len(data):
            height = data[at + 1] << 8 | data[at + 2]
            width = data[at + 3] << 8 | data[at + 4]
            return width * height, data[at + 5], marker
    return None


def _is_sequential(data: bytes, components: int, marker: int) -> bool:
    """Whether libjpeg decodes row by row; otherwise it holds the whole image at full size."""
    scan = next((at for m, at in _jpeg_segments(data) if m == _SCAN), None)
    return (
        marker in _SEQUENTIAL and scan is not None and data[scan : scan + 1] == bytes([components])
    )


def _decode_jpeg(data: bytes, max_pixels: int) -> np.ndarray | None:
    """Decode a grey or colour JPEG with OpenCV; None leaves it to Pillow."""
    frame = _jpeg_frame(data)
    if frame is None:
        return None
    pixels, components, marker = frame
    if components not in (1, 3):
        return None  # CMYK and YCCK: Pillow knows Adobe's inverted inks
    complete = data.endswith(_END)
    flag = cv2.IMREAD_COLOR
    if pixels > max_pixels:
        if not complete:
            raise UndecodableError('truncated: the end-of-image marker is missing')
        flag = next((f for s, f in _REDUCED if pixels <= max_pixels * s * s), None)
        if flag is None or not _is_sequential(data, components, marker):
            raise UndecodableError(_too_large(max_pixels))
    elif not complete:
        # OpenCV may give nothing for a cut file or fill it up with grey, depending on its version.
        # Pillow tells a cut file from a whole one with something after its end, at the price of a
        # second decoding.
        _open_with_pillow(data, max_pixels)
    try:
        return cv2.imdecode(np.frombuffer(data, np.uint8), flag)
    except cv2.error:
        return None  # Pillow has the better words


def _too_large(max_pixels: int) -> str:
    return f'larger than {max_pixels} pixels (max_pixels of LoadImage)'


def _open_with_pillow(data: bytes, max_pixels: int) -> Image.Image:
    """Open, check the size, then decode and turn upright."""
    try:
        with warnings.catch_warnings():
            # Size and defects are told by our own sentences.
            warnings.simplefilter('ignore')
            image = Image.open(io.BytesIO(data), formats=_PILLOW_FORMATS)
            if image.width * image.height > max_pixels:
                raise UndecodableError(_too_large(max_pixels))
            image.load()
            return ImageOps.exif_transpose(image)
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


def _decode_with_pillow(data: bytes, max_pixels: int) -> np.ndarray:
    return pillow_to_bgr(_open_with_pillow(data, max_pixels))


def pillow_to_bgr(image: Image.Image) -> np.ndarray:
    """Pixels of an image of any mode.

    Args:
        image (Image): Of Pillow.

    Returns:
        np.ndarray: uint8 BGR (H, W, 3).

    Raises:
        UndecodableError: If its mode has no clear meaning as colours.
    """
    if image.mode == 'F':
        raise UndecodableError('floating-point pixels, whose range is unknown')
    if image.mode.startswith('I'):
        # Pillow's own conversion clips 16 bits to 255; keep the upper byte instead, as libpng does.
        grey = np.asarray(image)
        if grey.min() < 0 or grey.max() > 0xFFFF:
            raise UndecodableError('grey values outside 0 … 65535')
        return cv2.cvtColor((grey >> 8).astype(np.uint8), cv2.COLOR_GRAY2BGR)
    try:
        image = image.convert('RGB')
    except ValueError as error:
        raise UndecodableError(f'no conversion from mode {image.mode} to RGB') from error
    return cv2.cvtColor(np.asarray(image), cv2.COLOR_RGB2BGR)


def decode_image(data: bytes, max_pixels: int) -> np.ndarray:
    """Decode an image file's content.

    Args:
        data: Content of the file.
        max_pixels: See :class:`LoadImage`.

    Returns:
        uint8 array (H, W, 3), BGR, upright.

    Raises:
        UndecodableError: The content cannot be used; the message says why.
    """
    if not data:
        raise UndecodableError('the file is empty (zero bytes)')
    image = _decode_jpeg(data, max_pixels) if data.startswith(_START) else None
    return _decode_with_pillow(data, max_pixels) if image is None else image


@TRANSFORMS.register_module()
class LoadImage(BaseTransform):
    """Read an image file as BGR uint8, whatever its colour model, depth or orientation.

    - Grey and palette images become colour; CMYK is converted as Adobe stores it.
    - Transparency is dropped: the stored colours under it are kept.
    - 16-bit samples keep their upper byte.
    - The EXIF orientation is applied.
    - Of an animation the first frame is taken.
    - A JPEG above ``max_pixels`` is decoded at 1/2, 1/4 or 1/8 of its size, the largest that fits.
      Anything else above it is refused from its header, without decoding.

    Required keys: ``img_path``. Added keys: ``img`` (uint8 (H, W, 3)), ``img_shape`` and
    ``ori_shape`` (both (H, W) of ``img`` as decoded).

    Args:
        max_pixels (int): Largest number of pixels decoded. Defaults to 2**26 (200 MB of memory).

    Raises:
        UnreadableImageError: The file cannot be read, is truncated, damaged or too large.
    """

    def __init__(self, max_pixels: int = 2**26) -> None:
        self.max_pixels = max_pixels

    def transform(self, results: dict) -> dict:
        """Read ``results['img_path']``."""
        path = results['img_path']
        try:
            with open(path, 'rb') as file:
                data = file.read()
            image = decode_image(data, self.max_pixels)
        except OSError as error:
            raise UnreadableImageError(path, error.strerror or str(error)) from error
        except UndecodableError as error:
            raise UnreadableImageError(path, str(error)) from error
        results['img'] = image
        results['img_shape'] = results['ori_shape'] = image.shape[:2]
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}(max_pixels={self.max_pixels})'
