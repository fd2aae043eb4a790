import io
import struct

import pytest
from PIL import Image

from mmc_plugin.datasets.transforms.image_headers import (
    UndecodableError,
    check_lists,
    check_tiff,
    webp_header,
)


def encoded(form, mode='RGB', **options):
    buffer = io.BytesIO()
    Image.linear_gradient('L').resize((70, 50)).convert(mode).save(buffer, form, **options)
    return buffer.getvalue()


def tiff(*entries, order='<'):
    """A directory of (type, count) at the front and nothing else."""
    head = (b'II*\0' if order == '<' else b'MM\0*') + struct.pack(order + 'I', 8)
    tags = (struct.pack(order + 'HHII', n, *each, 8) for n, each in enumerate(entries))
    return head + struct.pack(order + 'H', len(entries)) + b''.join(tags)


@pytest.mark.parametrize(
    'options, plain',
    [
        (dict(), True),
        (dict(lossless=True), True),
        (dict(mode='RGBA'), False),
        (dict(mode='RGBA', lossless=True), False),
        (dict(exif=b'Exif\0\0II*\0\x08\0\0\0\0\0'), False),
        (dict(save_all=True, append_images=[Image.new('RGB', (70, 50), 'red')]), False),
    ],
)
def test_webp_sizes(options, plain):
    mode = options.pop('mode', 'RGB')
    image = Image.radial_gradient('L').resize((70, 50)).convert(mode)
    if mode == 'RGBA':
        image.putalpha(Image.linear_gradient('L').resize((70, 50)))
    buffer = io.BytesIO()
    image.save(buffer, 'WEBP', **options)
    header = webp_header(buffer.getvalue())
    assert (header.pixels, header.plain) == (3500, plain)


def test_other_bytes_are_no_webp():
    assert webp_header(b'RIFF') is None and webp_header(encoded('PNG')) is None


@pytest.mark.parametrize('form', ['PNG', 'GIF', 'TIFF', 'BMP', 'JPEG', 'WEBP'])
def test_sound_files_pass(form):
    data = encoded(form)
    check_lists(data)
    for length in range(0, 200, 7):  # cut ones are for the decoder to name
        check_lists(data[:length])


CHUNK = b'\0\0\0\0tEXt\0\0\0\0'
HOSTILE = {
    'png': (lambda: b'\x89PNG\r\n\x1a\n' + CHUNK * 2**17, 'PNG of more than 65536 chunks'),
    'gif comments': (lambda: b'GIF89a' + bytes(7) + b'!\xfe' + b'\1x' * 2**20, 'GIF of more than'),
    'gif extensions': (lambda: b'GIF89a' + bytes(7) + b'!\xfe\0' * 2**20, 'GIF of more than'),
    'gif junk': (lambda: b'GIF89a' + bytes(2**22), 'GIF of more than'),
    'overlapping tags': (lambda: tiff(*[(1, 1000)] * 100), 'refer to more bytes'),
    'overlapping tags, big-endian': (lambda: tiff(*[(7, 900)] * 99, order='>'), 'refer to more'),
    'long list': (lambda: tiff((4, 2**20)) + bytes(2**22), 'more than 262144 values'),
    'many tags': (lambda: tiff(*[(3, 1)] * 5000), 'more than 4096 tags'),
}


@pytest.mark.parametrize('name', HOSTILE)
def test_lists_that_keep_busy_are_refused(name):
    make, words = HOSTILE[name]
    with pytest.raises(UndecodableError, match=words):
        check_lists(make())


def test_big_tiff_is_checked():
    head = b'II+\0\x08\0\0\0' + struct.pack('<QQ', 16, 2)
    tags = struct.pack('<HHQQ', 1, 1, 90, 0) + struct.pack('<HHQQ', 2, 1, 90, 0)
    with pytest.raises(UndecodableError, match='refer to more'):
        check_tiff(head + tags)
    check_tiff(head + tags + bytes(180))
