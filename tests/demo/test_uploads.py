"""What a visitor sends to the page of tools/demo.sh is decoded, or refused in a sentence."""

import base64
import struct
import zlib

import cv2
import numpy as np
import pytest

from mmc_plugin.datasets.transforms.loading import UnreadableImageError
from mmc_plugin.demo.uploads import IMAGE_SIDE, decoded, read_clip, read_image


def png(image):
    return cv2.imencode('.png', image[..., ::-1])[1].tobytes()


def chunk(name, data):
    return struct.pack('>I', len(data)) + name + data + struct.pack('>I', zlib.crc32(name + data))


def test_an_image_arrives_as_it_is_or_smaller():
    image = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    pixels, size = read_image(decoded(base64.b64encode(png(image)).decode(), 2**20))
    np.testing.assert_array_equal(pixels, image)
    assert size == (60, 40)
    large = np.full((300, 4 * IMAGE_SIDE, 3), 7, np.uint8)
    pixels, size = read_image(png(large))
    assert pixels.shape == (75, IMAGE_SIDE, 3) and (pixels == 7).all()
    assert size == (4 * IMAGE_SIDE, 300)


@pytest.mark.parametrize(
    'data, words',
    [
        (b'<svg xmlns="http://www.w3.org/2000/svg"/>', 'no JPEG, PNG, WebP or BMP'),
        (b'GIF89a', 'no JPEG, PNG, WebP or BMP'),
        (b'', 'no JPEG, PNG, WebP or BMP'),
        (b'\x89PNG\r\n\x1a\n' + b'0' * 50, '.'),
        # A header that claims 60,000 x 60,000 pixels.
        (
            b'\x89PNG\r\n\x1a\n'
            + chunk(b'IHDR', struct.pack('>IIBBBBB', 60000, 60000, 8, 2, 0, 0, 0))
            + chunk(b'IDAT', zlib.compress(b'0' * 1000))
            + chunk(b'IEND', b''),
            'pixels',
        ),
    ],
)
def test_what_is_no_image_is_refused(data, words):
    with pytest.raises((ValueError, UnreadableImageError), match=words):
        read_image(data)


@pytest.mark.parametrize('given', [None, 3, '?', 'a' * 99, {'path': '/etc/passwd'}])
def test_what_is_no_file_is_refused(given):
    with pytest.raises(ValueError, match='no file|larger'):
        decoded(given, 20)


def test_frames_of_different_sizes_are_refused():
    frames = [png(np.zeros((20, width, 3), np.uint8)) for width in (30, 30, 31)]
    kept, size, more = read_clip(frames[:2])
    assert (len(kept), size, more) == (2, (30, 20), False)
    with pytest.raises(ValueError, match='different sizes'):
        read_clip(frames)
    with pytest.raises(ValueError, match='no file'):
        read_clip([])
