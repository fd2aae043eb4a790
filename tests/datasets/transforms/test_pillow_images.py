import io
import struct
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from mmc_plugin.datasets.transforms.image_headers import UndecodableError
from mmc_plugin.datasets.transforms.loading import MAX_PIXELS, decode_image
from mmc_plugin.datasets.transforms.pillow_images import pillow_to_bgr, upright


def saved(image, form, **options):
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def decode(data, max_pixels=MAX_PIXELS):
    return decode_image(data, max_pixels)


def deep_tiff(grey, bits, photometric):
    """A grey TIFF without compression."""
    packed = grey.astype(f'<u{bits // 8}').tobytes()
    height, width = grey.shape
    numbers = [(256, width), (257, height), (258, bits), (259, 1), (262, photometric)]
    numbers += [(273, 200), (277, 1), (278, height), (279, len(packed))]
    tags = b''.join(struct.pack('<HHII', tag, 4, 1, number) for tag, number in numbers)
    head = struct.pack('<2sHIH', b'II', 42, 8, len(numbers)) + tags + bytes(4)
    return head.ljust(200, b'\0') + packed


def test_32_bits_up_to_255_are_bytes():
    grey = np.arange(256, dtype=np.int32).reshape(16, 16)
    data = saved(Image.fromarray(grey), 'TIFF')
    assert np.array_equal(decode(data), np.repeat(grey[..., None], 3, 2))
    by_hand = pillow_to_bgr(upright(Image.open(io.BytesIO(data))))
    assert np.array_equal(by_hand, decode(data))
    data = saved(Image.fromarray(grey * 257), 'TIFF')
    assert np.array_equal(decode(data)[..., 0], grey)


@pytest.mark.parametrize('photometric', [0, 1])
def test_the_least_may_be_white(photometric):
    grey = np.random.default_rng(0).integers(0, 2**16, (20, 30))
    expected = (grey if photometric else 65535 - grey) >> 8
    assert np.array_equal(decode(deep_tiff(grey, 16, photometric))[..., 1], expected)


@pytest.mark.parametrize('compression', ['group3', 'group4', 'jpeg'])
def test_damaged_strips_look_the_same_each_time(compression):
    rng = np.random.default_rng(0)
    y, x = np.mgrid[0:300, 0:400]
    image = Image.fromarray(((np.sin(x / 9) + np.cos(y / 13)) > 0).astype(np.uint8) * 255)
    image = image.convert('L' if compression == 'jpeg' else '1')
    sound = saved(image, 'TIFF', compression=compression)
    assert np.array_equal(
        decode(sound)[..., 0], np.asarray(Image.open(io.BytesIO(sound)).convert('L'))
    )
    for _ in range(60):
        data = bytearray(sound)
        for at in rng.integers(8, len(data) - 200, 3):
            data[at] ^= 1 << rng.integers(8)
        pictures = []
        for value in (0x55, 0xAA):
            blocks = [np.full(size, value, np.uint8) for size in (15000, 20000, 60000, 120000)]
            del blocks
            try:
                pictures.append(decode(bytes(data)))
            except UndecodableError:
                pictures.append(None)
        assert np.array_equal(*pictures)


@pytest.mark.parametrize('lossless', [False, True])
def test_a_large_webp_has_the_same_pixels_by_opencv(lossless):
    y, x = np.mgrid[0:100, 0:160]
    colours = np.stack([x, y, (x * y) % 256], -1).astype(np.uint8)
    data = saved(Image.fromarray(colours), 'WEBP', lossless=lossless)
    assert np.array_equal(decode(data), decode(data, 16000))
    with pytest.raises(UndecodableError, match='larger than 15999 pixels'):
        decode(data, 15999)
    alpha = Image.fromarray(colours)
    alpha.putalpha(Image.linear_gradient('L').resize(alpha.size))
    with pytest.raises(UndecodableError, match='16000 pixels takes more than 0 MiB'):
        decode(saved(alpha, 'WEBP', lossless=lossless), 16000)


def test_slow_forms_are_small():
    text = b'P2 2000 2000 255\n' + b'7 ' * 4_000_000
    with pytest.raises(UndecodableError, match='larger than 1048576 pixels in a form'):
        decode(text)
    assert (decode(b'P2 20 30 255\n' + b'7 ' * 600) == 7).all()


def claim_webp(side):
    frame = Image.radial_gradient('L').resize((64, 64)).convert('RGB')
    data = bytearray(
        saved(frame, 'WEBP', save_all=True, append_images=[Image.new('RGB', (64, 64), 'red')])
    )
    assert data[12:16] == b'VP8X'
    data[24:30] = (side - 1).to_bytes(3, 'little') * 2
    return bytes(data)


def test_memory_stays_within_the_limit(tmp_path):
    """What is just within and just beyond the limits of each format, in one process."""
    pytest.importorskip('resource')  # POSIX only
    side = 5790  # 33.5 megapixels
    grey = Image.linear_gradient('L')
    colour = grey.resize((side, side)).convert('RGB')
    files = {
        'animated.webp': claim_webp(8192),
        'smaller.webp': claim_webp(3900),
        'colour.png': saved(colour, 'PNG', compress_level=1),
        'deep.tif': saved(colour.convert('I'), 'TIFF', compression='tiff_deflate'),
        'turned.jpg': saved(colour, 'JPEG', exif=b'Exif\0\0' + _turned()),
        'chroma.jpg': saved(colour, 'JPEG', progressive=True, subsampling=0),
        'inks.jpg': saved(colour.convert('CMYK'), 'JPEG', progressive=True),
    }
    del colour
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    program = """
import sys
from pathlib import Path
from mmc_plugin.apis.features import to_pixels
from mmc_plugin.datasets.transforms.loading import LoadImage, UnreadableImageError
def memory(name):
    return int(Path('/proc/self/status').read_text().split(name + ':')[1].split()[0]) // 1024
start = memory('VmRSS')
for path in sorted(Path(sys.argv[1]).iterdir()):
    Path('/proc/self/clear_refs').write_text('5')
    try:
        shape = to_pixels(path).shape
    except UnreadableImageError as error:
        shape = 'refused'
    print(path.name, memory('VmHWM') - start, shape)
"""
    if not sys.platform.startswith('linux'):
        pytest.skip('reads /proc')
    run = subprocess.run(
        [sys.executable, '-W', 'ignore', '-c', program, str(tmp_path)],
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    lines = [line.split(maxsplit=2) for line in run.stdout.splitlines() if line.count(' ') > 1]
    found = {name: (int(megabytes), shape) for name, megabytes, shape in lines if name in files}
    assert max(megabytes for megabytes, _ in found.values()) < 300, found
    whole, half = f'torch.Size([3, {side}, {side}])', f'torch.Size([3, {side // 2}, {side // 2}])'
    assert {name: shape for name, (_, shape) in found.items()} == {
        'animated.webp': 'refused',
        'smaller.webp': 'torch.Size([3, 3900, 3900])',
        'colour.png': whole,
        'deep.tif': whole,
        'turned.jpg': whole,
        'chroma.jpg': half,
        'inks.jpg': 'refused',
    }


def _turned():
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif.tobytes().removeprefix(b'Exif\0\0')
