import io
import time

import pytest
from PIL import Image

from mmc_plugin.datasets.transforms.image_headers import UndecodableError
from mmc_plugin.datasets.transforms.jpeg_headers import MAX_SCANS, read_jpeg_header


def jpeg(mode='RGB', size=(70, 50), **options):
    buffer = io.BytesIO()
    Image.radial_gradient('L').resize(size).convert(mode).save(buffer, 'JPEG', **options)
    return buffer.getvalue()


@pytest.mark.parametrize(
    'data, blocks, marker, sequential',
    [
        (jpeg('L'), 9 * 7, 0xC0, True),
        (jpeg(subsampling=0), 3 * 9 * 7, 0xC0, True),
        (jpeg(subsampling=2), 9 * 7 + 2 * 5 * 4, 0xC0, True),
        (jpeg(subsampling=1), 9 * 7 + 2 * 5 * 7, 0xC0, True),
        (jpeg(subsampling=2, progressive=True), 9 * 7 + 2 * 5 * 4, 0xC2, False),
    ],
)
def test_header_of_sound_files(data, blocks, marker, sequential):
    header = read_jpeg_header(data)
    assert (header.pixels, header.blocks) == (3500, blocks)
    assert (header.marker, header.sequential) == (marker, sequential)
    assert header.coefficient_bytes == (0 if sequential else 128 * blocks)


@pytest.mark.parametrize('progressive', [False, True])
def test_an_empty_picture_has_the_least_bytes(progressive):
    """One colour, best codes: nothing sound is smaller than what is asked for."""
    data = jpeg('L', (4000, 4000), optimize=True, progressive=progressive)
    blank = io.BytesIO()
    Image.new('L', (4000, 4000), 128).save(blank, 'JPEG', optimize=True, progressive=progressive)
    blank = blank.getvalue()
    least = read_jpeg_header(blank).least_bytes
    assert least == 500 * 500 * (1 if progressive else 2) // 8
    # Of a progressive file a second scan refines the DC coefficients.
    assert least <= len(blank) < least * (2 if progressive else 1) + 1000 < len(data)


def with_scans(number):
    """An empty scan, repeated, at the end of a progressive file."""
    data = jpeg(progressive=True)
    own = data.count(b'\xff\xda')
    last = data[data.rfind(b'\xff\xda') : -2]
    return data[:-2] + last * (number - own) + data[-2:]


def test_scans_are_counted():
    assert read_jpeg_header(with_scans(MAX_SCANS)) is not None
    with pytest.raises(UndecodableError, match='more than 50 scans'):
        read_jpeg_header(with_scans(MAX_SCANS + 1))


START = jpeg()[:2]
ENDLESS = {
    'fill bytes': lambda: START + b'\xff' * 10**7 + jpeg()[2:],
    'segments': lambda: START + b'\xff\xe2\0\2' * 10**6 + jpeg()[2:],
    'fill bytes before a restart marker': lambda: (
        with_scans(MAX_SCANS + 1)[:-2] + b'\xff' * 10**7 + b'\xd0\xff\xd9'
    ),
    'segments between scans': lambda: (
        jpeg(progressive=True)[:-2] + b'\xff\xfe\0\2' * 10**6 + b'\xff\xd9'
    ),
}


@pytest.mark.parametrize('name', ENDLESS)
def test_endless_lists_are_refused_at_once(name):
    data = ENDLESS[name]()
    start = time.process_time()
    with pytest.raises(UndecodableError, match='damaged: a JPEG'):
        read_jpeg_header(data)
    assert time.process_time() - start < 1


def test_fill_bytes_in_a_scan_take_no_time():
    data = jpeg(progressive=True)[:-2] + b'\xff' * 10**7 + b'\xd0\xff\xd9'
    start = time.process_time()
    assert read_jpeg_header(data) is not None
    assert time.process_time() - start < 2


def test_exif_with_overlapping_tags_is_refused():
    tags = b''.join(n.to_bytes(2, 'little') + b'\1\0\xe8\3\0\0\0\0\0\0' for n in range(99))
    exif = b'Exif\0\0II*\0\x08\0\0\0\x63\0' + tags
    data = START + b'\xff\xe1' + (len(exif) + 2).to_bytes(2, 'big') + exif + jpeg()[2:]
    with pytest.raises(UndecodableError, match='refer to more bytes'):
        read_jpeg_header(data)
