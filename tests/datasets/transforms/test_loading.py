import io
import os
import pickle
import struct
import subprocess
import sys
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps

from mmc_plugin.datasets.transforms.loading import LoadImage, UnreadableImageError


def photo(height=60, width=90):
    """Smooth colours, so that JPEG and chroma subsampling cost little."""
    y, x = np.mgrid[0:height, 0:width]
    return np.stack(
        [255 * x / width, 255 * y / height, 127 + 120 * np.sin(x / 15 + y / 20)], axis=-1
    ).astype(np.uint8)


def load(path, **kwargs):
    return LoadImage(**kwargs)(dict(img_path=str(path)))


def by_pillow(path):
    with Image.open(path) as image:
        return np.asarray(ImageOps.exif_transpose(image).convert('RGB'))[..., ::-1]


def palette_with_hole():
    image = Image.fromarray(photo()).quantize(16)
    image.info['transparency'] = 3
    return image


def with_alpha(mode):
    image = Image.fromarray(photo()).convert(mode[:-1])
    image.putalpha(Image.linear_gradient('L').resize(image.size))
    return image


KINDS = {
    'colour.jpg': lambda: Image.fromarray(photo()),
    'grey.jpg': lambda: Image.fromarray(photo()).convert('L'),
    'cmyk.jpg': lambda: Image.fromarray(photo()).convert('CMYK'),
    'colour.png': lambda: Image.fromarray(photo()),
    'palette.png': lambda: Image.fromarray(photo()).quantize(16),
    'palette_hole.png': palette_with_hole,
    'grey.png': lambda: Image.fromarray(photo()).convert('L'),
    'bilevel.png': lambda: Image.fromarray(photo()).convert('1'),
    'grey_alpha.png': lambda: with_alpha('LA'),
    'colour_alpha.png': lambda: with_alpha('RGBA'),
    'one_pixel.png': lambda: Image.new('RGB', (1, 1), (10, 200, 30)),
    'one_pixel.jpg': lambda: Image.new('RGB', (1, 1), (10, 200, 30)),
    'colour.webp': lambda: Image.fromarray(photo()),
    'palette.gif': lambda: Image.fromarray(photo()).quantize(16),
    'colour.bmp': lambda: Image.fromarray(photo()),
    'colour.tif': lambda: Image.fromarray(photo()),
    'cmyk.tif': lambda: Image.fromarray(photo()).convert('CMYK'),
    'colour.ppm': lambda: Image.fromarray(photo()),
}


@pytest.mark.parametrize('name', KINDS)
def test_every_kind_equals_pillow(tmp_path, name):
    path = tmp_path / name
    KINDS[name]().save(path)
    results = load(path)
    image = results['img']
    assert image.dtype == np.uint8 and image.flags.c_contiguous
    assert results['img_shape'] == results['ori_shape'] == image.shape[:2]
    expected = by_pillow(path)
    assert image.shape == expected.shape
    assert np.abs(image.astype(int) - expected).max() <= (2 if name.endswith('.jpg') else 0)


@pytest.mark.parametrize('suffix', ['jpg', 'png', 'webp', 'tif'])
@pytest.mark.parametrize('orientation', range(1, 9))
def test_orientation_is_applied(tmp_path, suffix, orientation):
    path = tmp_path / f'image.{suffix}'
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(photo()).save(path, exif=exif)
    image = load(path)['img']
    expected = by_pillow(path)
    assert image.shape == expected.shape == ((90, 60, 3) if orientation > 4 else (60, 90, 3))
    assert np.abs(image.astype(int) - expected).max() <= 2


@pytest.mark.parametrize('channels', [1, 3, 4])
def test_sixteen_bits_keep_the_upper_byte(tmp_path, channels):
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 2**16, (20, 30, channels), dtype=np.uint16)
    cv2.imwrite(str(tmp_path / 'deep.png'), pixels)
    cv2.imwrite(str(tmp_path / 'deep.tif'), pixels[..., :1])
    expected = np.broadcast_to((pixels >> 8)[..., :3], (20, 30, 3))
    assert np.array_equal(load(tmp_path / 'deep.png')['img'], expected)
    grey = np.broadcast_to((pixels >> 8)[..., :1], (20, 30, 3))
    assert np.array_equal(load(tmp_path / 'deep.tif')['img'], grey)


def encoded(suffix, image=None, **kwargs):
    buffer = io.BytesIO()
    Image.fromarray(photo() if image is None else image).save(buffer, suffix, **kwargs)
    return buffer.getvalue()


def noise():
    return np.random.default_rng(0).integers(0, 255, (60, 90, 3), dtype=np.uint8)


def png_header(width, height):
    """A PNG that promises much and holds nothing."""

    def chunk(name, data):
        return (
            struct.pack('>I', len(data)) + name + data + struct.pack('>I', zlib.crc32(name + data))
        )

    header = struct.pack('>IIBBBBB', width, height, 8, 2, 0, 0, 0)
    return b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', header) + chunk(b'IDAT', b'') + chunk(b'IEND', b'')


def claim_size(jpeg, width, height):
    """Write another size into the frame header of a JPEG."""
    at = max(jpeg.find(b'\xff\xc0'), jpeg.find(b'\xff\xc2'))
    return jpeg[: at + 5] + struct.pack('>HH', height, width) + jpeg[at + 9 :]


BROKEN = {
    'half.jpg': (lambda: encoded('JPEG', noise())[:3000], 'truncated'),
    'half_progressive.jpg': (
        lambda: encoded('JPEG', noise(), progressive=True)[:3000],
        'truncated',
    ),
    'only_header.jpg': (lambda: encoded('JPEG')[:200], 'damaged'),
    'start.jpg': (lambda: b'\xff\xd8\xff', 'damaged'),
    'half.png': (lambda: encoded('PNG', noise())[:5000], 'truncated'),
    'half.gif': (lambda: encoded('GIF', noise())[:2000], 'truncated'),
    'half.webp': (lambda: encoded('WEBP', noise())[:1500], 'damaged'),
    'half.bmp': (lambda: encoded('BMP')[:5000], 'truncated'),
    'half.tif': (lambda: encoded('TIFF')[:5000], 'damaged'),
    'empty.png': (lambda: b'', 'zero bytes'),
    'text.jpg': (lambda: b'This is no image.\n' * 50, 'not an image'),
    'script.jpg': (lambda: b'%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n', 'not an image'),
    'bomb.png': (lambda: png_header(30000, 20000), 'larger than'),
    'large.png': (lambda: png_header(10000, 8000), 'larger than 33554432 pixels'),
    'bomb_progressive.jpg': (
        lambda: claim_size(encoded('JPEG', progressive=True), 30000, 20000),
        'larger than 33554432 pixels',
    ),
    'bomb_cut.jpg': (lambda: claim_size(encoded('JPEG'), 30000, 20000)[:-2], 'truncated'),
    'bomb_cmyk.jpg': (
        lambda: claim_size(_cmyk(), 30000, 20000),
        'larger than',
    ),
}


def _cmyk():
    buffer = io.BytesIO()
    Image.fromarray(photo()).convert('CMYK').save(buffer, 'JPEG')
    return buffer.getvalue()


@pytest.mark.parametrize('name', BROKEN)
def test_broken_files_are_refused_in_words(tmp_path, name):
    make, words = BROKEN[name]
    path = tmp_path / name
    path.write_bytes(make())
    with pytest.raises(UnreadableImageError, match='^cannot read the image ') as caught:
        load(path)
    assert caught.value.path == str(path)
    assert words in caught.value.reason
    assert ' at 0x' not in caught.value.reason  # the same file, the same reason


def test_cut_jpeg_is_refused_where_opencv_fills_it_with_grey(tmp_path, monkeypatch):
    path = tmp_path / 'half.jpg'
    path.write_bytes(BROKEN['half.jpg'][0]())
    monkeypatch.setattr(cv2, 'imdecode', lambda *_: np.full((60, 90, 3), 128, np.uint8))
    with pytest.raises(UnreadableImageError, match='truncated'):
        load(path)


def test_unreadable_paths_and_pickling(tmp_path):
    with pytest.raises(UnreadableImageError, match='No such file') as caught:
        load(tmp_path / 'gone.jpg')
    again = pickle.loads(pickle.dumps(caught.value))
    assert (again.path, again.reason) == (caught.value.path, caught.value.reason)


def test_floating_point_is_refused(tmp_path):
    path = tmp_path / 'float.tif'
    Image.fromarray(np.zeros((5, 5), np.float32)).save(path)
    with pytest.raises(UnreadableImageError, match='floating-point'):
        load(path)


@pytest.mark.parametrize('tail', [b'\x00' * 40, b'trailing words'])
def test_whole_jpeg_with_something_after_its_end_is_read(tmp_path, tail):
    path = tmp_path / 'tail.jpg'
    path.write_bytes(encoded('JPEG') + tail)
    assert np.abs(load(path)['img'].astype(int) - photo()[..., ::-1]).max() < 20


@pytest.mark.parametrize('factor', [2, 4, 8])
@pytest.mark.parametrize('orientation', [1, 6])
def test_large_jpeg_is_decoded_smaller(tmp_path, factor, orientation):
    path = tmp_path / 'large.jpg'
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(photo(160, 240)).save(path, quality=95, exif=exif)
    image = load(path, max_pixels=160 * 240 // factor**2)['img']
    whole = by_pillow(path)
    assert image.shape == (whole.shape[0] // factor, whole.shape[1] // factor, 3)
    small = cv2.resize(
        np.ascontiguousarray(whole), image.shape[1::-1], interpolation=cv2.INTER_AREA
    )
    assert np.abs(small.astype(int) - image).mean() < 2
    with pytest.raises(UnreadableImageError, match='larger than 599 pixels'):
        load(path, max_pixels=599)


def test_bombs_take_no_memory(tmp_path):
    pytest.importorskip('resource')  # POSIX only
    for name in ('bomb.png', 'large.png', 'bomb_progressive.jpg', 'bomb_cut.jpg', 'bomb_cmyk.jpg'):
        (tmp_path / name).write_bytes(BROKEN[name][0]())
    # Long enough to hold that many blocks.
    reduced = claim_size(encoded('JPEG'), 30000, 20000)[:-2] + bytes(2**22) + b'\xff\xd9'
    (tmp_path / 'reduced.jpg').write_bytes(reduced)
    program = """
import resource, sys
from pathlib import Path
from mmc_plugin.datasets.transforms.loading import LoadImage, UnreadableImageError
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
start = peak()
for path in sorted(Path(sys.argv[1]).glob('*bomb*')) + [Path(sys.argv[1]) / 'large.png']:
    try:
        LoadImage()(dict(img_path=str(path)))
        raise SystemExit(f'{path} was read')
    except UnreadableImageError:
        pass
refused = peak() - start
shape = LoadImage()(dict(img_path=sys.argv[1] + '/reduced.jpg'))['img'].shape
print(refused // 1024, (peak() - start) // 1024, shape)
"""
    unit = subprocess.run(
        [sys.executable, '-W', 'ignore', '-c', program, str(tmp_path)],
        capture_output=True,
        text=True,
    )
    assert unit.returncode == 0, unit.stderr
    refused, reduced, shape = unit.stdout.splitlines()[-1].split(maxsplit=2)
    assert int(refused) < 20  # MB
    assert shape == '(2500, 3750, 3)'
    assert int(reduced) < 200  # MB; the whole image has 1717


def test_what_is_no_file_or_too_large_is_not_read(tmp_path):
    (tmp_path / 'sparse.jpg').touch()
    os.truncate(tmp_path / 'sparse.jpg', 3 * 2**30)
    with pytest.raises(UnreadableImageError, match='the file is larger than 256 MiB'):
        load(tmp_path / 'sparse.jpg')
    os.mkfifo(tmp_path / 'pipe.jpg')
    (tmp_path / 'zero.jpg').symlink_to('/dev/zero')
    for name in ('pipe.jpg', 'zero.jpg'):
        with pytest.raises(UnreadableImageError, match='a pipe or device'):
            load(tmp_path / name)
    with pytest.raises(UnreadableImageError, match='s a directory'):
        load(tmp_path)
    with pytest.raises(UnreadableImageError, match='null'):
        load('a\0.jpg')


def test_a_file_too_short_for_its_size_is_refused(tmp_path):
    (tmp_path / 'short.jpg').write_bytes(claim_size(encoded('JPEG'), 5000, 5000))
    with pytest.raises(UnreadableImageError, match='bytes cannot hold 25000000 pixels'):
        load(tmp_path / 'short.jpg')
