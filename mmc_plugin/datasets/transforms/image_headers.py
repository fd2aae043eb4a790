"""What the headers of image files say, read before any decoder sees them.

Decoders trust a header: they take the memory that it asks for, and some walk its lists in Python.
"""

from __future__ import annotations

import re
import struct
from typing import NamedTuple

_PNG, _GIF, _TIFF = b'\x89PNG\r\n\x1a\n', (b'GIF87a', b'GIF89a'), (b'II', b'MM')
# Far above what encoders write (chunks of 8 KB and more), far below what takes seconds.
_MAX_PNG_CHUNKS = 2**16
_MAX_GIF_BLOCKS = 2**12
_GIF_BLOCK = re.compile(rb'[!,;]')  # an extension, a picture, the end
_MAX_TIFF_TAGS = 2**12
# One strip for each row of the highest image, or tiles of 16 x 16 pixels for 64 megapixels.
_MAX_TIFF_VALUES = 2**18
# Bytes of a value of each TIFF type; those of one byte are kept as they are, not as numbers.
_TIFF_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
_TIFF_SIZES |= {16: 8, 17: 8, 18: 8}
_ORIENTATION, _SHORT = 0x0112, 3


class UndecodableError(Exception):
    """Why bytes are not an image, before it is known which file they come from."""


class WebPHeader(NamedTuple):
    """Of a WebP file."""

    pixels: int  # of the canvas
    plain: bool  # a single opaque picture that nothing turns: any decoder gives the same


def webp_header(data: bytes) -> WebPHeader | None:
    """Read the header of a WebP file; None if the bytes are none."""
    if data[:4] != b'RIFF' or data[8:12] != b'WEBP' or len(data) < 30:
        return None
    kind = data[12:16]
    if kind == b'VP8X':
        width, height = (int.from_bytes(data[at : at + 3], 'little') + 1 for at in (24, 27))
        # ICC profiles (0x20) are not applied; alpha, EXIF, XMP and animation need more than pixels.
        return WebPHeader(width * height, data[20] & ~0x20 == 0)
    if kind == b'VP8L':
        bits = int.from_bytes(data[21:25], 'little')
        return WebPHeader(((bits & 0x3FFF) + 1) * ((bits >> 14 & 0x3FFF) + 1), not bits >> 28 & 1)
    if kind == b'VP8 ':
        width, height = struct.unpack_from('<HH', data, 26)
        return WebPHeader((width & 0x3FFF) * (height & 0x3FFF), True)
    return None


def check_lists(data: bytes) -> None:
    """Refuse files of any format whose lists of chunks, blocks or tags only keep a reader busy.

    Raises:
        UndecodableError: A list is longer than any image needs.
    """
    if data.startswith(_PNG):
        _check_png(data)
    elif data.startswith(_GIF):
        _check_gif(data)
    elif data.startswith(_TIFF):
        check_tiff(data)


def _check_png(data: bytes) -> None:
    at, chunks = len(_PNG), 0
    while at + 12 <= len(data):
        chunks += 1
        if chunks > _MAX_PNG_CHUNKS:
            raise UndecodableError(f'damaged: a PNG of more than {_MAX_PNG_CHUNKS} chunks')
        at += 12 + int.from_bytes(data[at : at + 4], 'big')


def _check_gif(data: bytes) -> None:
    """Count the blocks before the first picture; Pillow joins those of a comment one by one."""
    at, blocks = 13, 0
    if len(data) > 10 and data[10] & 0x80:
        at += 3 << (data[10] & 7) + 1
    while True:
        # Pillow skips what is no block byte by byte.
        block_at = _GIF_BLOCK.search(data, at)
        start = block_at.start() if block_at else len(data)
        blocks += start - at
        at = start
        if data[at : at + 1] == b'!':  # an extension: its label, then blocks with their lengths
            at += 2
            while at < len(data) and data[at] and blocks <= _MAX_GIF_BLOCKS:
                blocks += 1
                at += 1 + data[at]
            at += 1
            blocks += 1
        if blocks > _MAX_GIF_BLOCKS:
            raise UndecodableError(
                f'damaged: a GIF of more than {_MAX_GIF_BLOCKS} blocks before its first picture'
            )
        if data[start : start + 1] != b'!':
            return


def check_tiff(data: bytes) -> None:
    """Check the first directory of a TIFF file or of EXIF data, which are laid out alike.

    Args:
        data: From its byte order mark on.

    Raises:
        UndecodableError: The tags refer to more bytes than there are, by overlapping, or have
            lists that are longer than any image needs.
    """
    order = '<' if data[:2] == b'II' else '>'
    big = data[2:4] in (b'+\0', b'\0+')
    number, entry = ('Q', 20) if big else ('I', 12)
    inline = struct.calcsize(number)
    try:
        (at,) = struct.unpack_from(order + number, data, 8 if big else 4)
        (tags,) = struct.unpack_from(order + ('Q' if big else 'H'), data, at)
    except struct.error:
        return  # too short: the decoder has the words
    if tags > _MAX_TIFF_TAGS:
        raise UndecodableError(f'damaged: a TIFF directory of more than {_MAX_TIFF_TAGS} tags')
    at += 8 if big else 2
    referred = 0
    for start in range(at, min(at + tags * entry, len(data) - entry + 1), entry):
        _, kind, count = struct.unpack_from(order + 'HH' + number, data, start)
        size = _TIFF_SIZES.get(kind, 0)
        if size > 1 and count > _MAX_TIFF_VALUES:
            raise UndecodableError(f'damaged: a TIFF tag of more than {_MAX_TIFF_VALUES} values')
        if size * count > inline:
            referred += size * count
    if referred > len(data):
        raise UndecodableError('truncated or damaged: its tags refer to more bytes than it has')


def orientation(exif: bytes) -> int:
    """How a picture lies, as EXIF data says: 1 to 8, and 1 where they say nothing that holds.

    Args:
        exif: From its byte order mark on.
    """
    order = '<' if exif[:2] == b'II' else '>'
    try:
        (at,) = struct.unpack_from(order + 'I', exif, 4)
        (tags,) = struct.unpack_from(order + 'H', exif, at)
        for start in range(at + 2, at + 2 + 12 * min(tags, _MAX_TIFF_TAGS), 12):
            tag, kind, _, value = struct.unpack_from(order + 'HHIH', exif, start)
            if (tag, kind) == (_ORIENTATION, _SHORT):
                return value if 1 <= value <= 8 else 1
    except struct.error:  # it is cut
        pass
    return 1
