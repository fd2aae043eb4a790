"""What a JPEG file says of itself before it is decoded."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from .image_headers import UndecodableError, check_tiff, orientation

# Start-of-frame markers: C0 … CF without DHT (C4), JPG (C8) and DAC (CC).
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_SEQUENTIAL = (0xC0, 0xC1)
_HUFFMAN = (0xC0, 0xC1, 0xC2)
_SCAN, _END, _APP1 = 0xDA, 0xD9, 0xE1
_EXIF = b'Exif\0\0'
_FILL = re.compile(rb'\xff*')
# A marker among entropy-coded data, which writes FF as FF 00 and has restart markers (D0 … D7).
_NEXT_MARKER = re.compile(rb'\xff[^\x00\xd0-\xd7\xff]')
# Encoders write some ten scans, and a header of some hundred segments even with long profiles.
# Every scan, though it be empty, costs a pass over the whole image.
MAX_SCANS = 50
MAX_SEGMENTS = 4096
# Pillow reads fill bytes one by one.
MAX_FILL = 2**16


@dataclass(frozen=True)
class JpegHeader:
    """What the segments up to the first scan say."""

    width: int  # as stored
    height: int
    orientation: int  # of EXIF, 1 to 8; from 5 on width and height change places
    components: int  # 1 grey, 3 colour, 4 CMYK or YCCK
    blocks: int  # of 8 x 8 coefficients, of all components
    marker: int  # of the frame
    sequential: bool  # whether libjpeg decodes row by row; otherwise it holds all coefficients

    @property
    def pixels(self) -> int:
        """Of the whole picture."""
        return self.width * self.height

    @property
    def coefficient_bytes(self) -> int:
        """Memory that libjpeg takes beside the picture, at any reduction."""
        return 0 if self.sequential else 2 * 64 * self.blocks

    @property
    def least_bytes(self) -> int:
        """What the smallest file of this many blocks has.

        The shortest Huffman code has one bit. A block has a code for its DC coefficient and, but
        in progressive files, one for the end of the others.
        """
        if self.marker not in _HUFFMAN:
            return 0
        return self.blocks * (2 if self.marker in _SEQUENTIAL else 1) // 8


def _segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield (marker, start and end of the payload) of the segments up to the first scan."""
    at, fill, number = 2, 0, 0
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker_at = _FILL.match(data, at).end()
        fill += marker_at - at - 1
        number += 1
        if fill > MAX_FILL or number > MAX_SEGMENTS:
            raise UndecodableError(
                f'damaged: a JPEG header of more than {MAX_SEGMENTS} segments '
                f'or {MAX_FILL} fill bytes'
            )
        if marker_at + 3 > len(data):
            return
        length = int.from_bytes(data[marker_at + 1 : marker_at + 3], 'big')
        yield data[marker_at], marker_at + 3, marker_at + 1 + length
        if data[marker_at] == _SCAN:
            return
        at = marker_at + 1 + length


def _count_blocks(data: bytes, at: int, components: int, width: int, height: int) -> int:
    """Blocks of a frame whose sampling factors begin at ``at``."""
    factors = [(data[at + 3 * i] >> 4, data[at + 3 * i] & 15) for i in range(components)]
    if not all(h and v for h, v in factors):
        return 0
    widest, highest = (max(each) for each in zip(*factors))
    return sum(-(-width * h // (8 * widest)) * -(-height * v // (8 * highest)) for h, v in factors)


def _check_scans(data: bytes, start: int) -> None:
    """Count the scans from the first one's payload on."""
    scans, markers = 1, 0
    while scans <= MAX_SCANS:
        found = _NEXT_MARKER.search(data, start)
        if found is None:
            return
        start, marker = found.end(), data[found.end() - 1]
        markers += 1
        if marker == _END:
            return
        if markers > MAX_SEGMENTS:
            break
        scans += marker == _SCAN
        start += int.from_bytes(data[start : start + 2], 'big')
    raise UndecodableError(
        f'damaged: a JPEG of more than {MAX_SCANS} scans or {MAX_SEGMENTS} segments'
    )


def read_jpeg_header(data: bytes) -> JpegHeader | None:
    """Read what comes before a file's first scan, and check that decoding it comes to an end.

    Returns:
        JpegHeader | None: None where there is no frame.

    Raises:
        UndecodableError: There are more segments, fill bytes or scans than any image needs.
    """
    frame, scan, exif = None, None, b''
    for marker, start, end in _segments(data):
        if marker == _APP1 and data.startswith(_EXIF, start):
            exif += data[start + len(_EXIF) : end]
        elif marker == _SCAN:
            scan = start
        elif marker in _FRAMES and frame is None and start + 6 <= len(data):
            frame = marker, start
    turned = 1
    if exif[:2] in (b'II', b'MM'):
        check_tiff(exif)
        turned = orientation(exif)
    if frame is None:
        return None
    marker, at = frame
    height, width, components = struct.unpack_from('>HHB', data, at + 1)
    if at + 6 + 3 * components > len(data) or not components:
        return None
    sequential = (
        marker in _SEQUENTIAL and scan is not None and data[scan : scan + 1] == bytes([components])
    )
    blocks = _count_blocks(data, at + 7, components, width, height)
    if scan is not None and not sequential:
        _check_scans(data, scan)
    return JpegHeader(width, height, turned, components, blocks, marker, sequential)
