"""What a visitor sends to the page of tools/demo.sh is decoded, or refused in a sentence."""

import struct
import zlib

import cv2
import numpy as np
import pytest

from mmc_plugin.demo import uploads
from mmc_plugin.demo.uploads import IMAGE_SIDE, MOST_FRAMES, read_clip, read_image
from mmc_plugin.visualization.video import write_video


def png(image):
    return cv2.imencode('.png', image[..., ::-1])[1].tobytes()


def chunk(name, data):
    return struct.pack('>I', len(data)) + name + data + struct.pack('>I', zlib.crc32(name + data))


def test_an_image_arrives_as_it_is_or_smaller():
    image = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    pixels, size = read_image(png(image))
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
        (b'\x89PNG\r\n\x1a\n' + b'0' * 50, 'cannot be read'),
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
    with pytest.raises(ValueError, match=words):
        read_image(data)


def test_an_image_of_too_many_bytes_is_refused(monkeypatch):
    monkeypatch.setattr(uploads, 'IMAGE_BYTES', 2**20)
    with pytest.raises(ValueError, match='larger than 1 MB'):
        read_image(b'\xff\xd8\xff' + bytes(2**20))


def test_frames_of_different_sizes_are_refused():
    frames = [png(np.zeros((20, width, 3), np.uint8)) for width in (30, 30, 31)]
    kept, more = read_clip(frames[:2])
    assert len(kept) == 2 and not more
    with pytest.raises(ValueError, match='^File 3 and the first have different sizes'):
        read_clip(frames)
    with pytest.raises(ValueError, match='^File 2: This is no JPEG'):
        read_clip([frames[0], b'text', frames[1]])
    with pytest.raises(ValueError, match='^File 2: The image cannot be read'):
        read_clip([frames[0], frames[1][:30]])
    with pytest.raises(ValueError, match='no video but one image'):
        read_clip(frames[:1])
    with pytest.raises(ValueError, match='no file'):
        read_clip([])


def test_of_hundreds_of_frames_the_first_are_taken_in_their_order():
    frames = [png(image) for image in shades(300)]
    kept, more = read_clip(frames)
    assert len(kept) == MOST_FRAMES and more
    found = [decoded(frame).mean() for frame in kept]
    np.testing.assert_allclose(found, [image.mean() for image in shades(MOST_FRAMES)], atol=2)


def test_of_large_frames_fewer_are_taken(tmp_path, monkeypatch):
    """Images of zeros are small files, and take as long to decode as others."""
    width = 2 * IMAGE_SIDE  # counted as they were given
    monkeypatch.setattr(uploads, 'CLIP_PIXELS', 3 * 8 * width)
    frames = [png(image) for image in shades(5, (8, width, 3))]
    decoder, read = read_image, []
    monkeypatch.setattr(uploads, 'read_image', lambda data: read.append(1) or decoder(data))
    kept, more = read_clip(frames)
    assert len(kept) == 3 and more and len(read) == 4
    kept, more = read_clip(frames[:3])
    assert len(kept) == 3 and not more
    path = tmp_path / 'clip.mp4'
    write_video(str(path), shades(5, (8, width, 3)))
    kept, more = read_clip([path.read_bytes()])
    assert len(kept) == 3 and more
    monkeypatch.setattr(uploads, 'CLIP_PIXELS', 1)
    assert len(read_clip(frames)[0]) == 1  # one there always is


def shades(count, shape=(48, 64, 3)):
    return [np.full(shape, 40 + 20 * place % 200, np.uint8) for place in range(count)]


def decoded(frame):
    return cv2.imdecode(np.frombuffer(frame, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]


@pytest.mark.parametrize('ending', ['.mp4', '.webm'])
def test_a_video_is_read_frame_by_frame(tmp_path, ending):
    path, given = tmp_path / f'clip{ending}', shades(5)
    write_video(str(path), given)
    kept, more = read_clip([path.read_bytes()])
    assert len(kept) == 5 and not more
    for found, frame in zip(kept, given, strict=True):
        assert abs(decoded(found).mean() - frame.mean()) < 6


def test_a_long_and_large_video_is_cut(tmp_path):
    path = tmp_path / 'clip.mp4'
    write_video(str(path), shades(MOST_FRAMES + 3, (32, 1280, 3)))
    kept, more = read_clip([path.read_bytes()])
    assert len(kept) == MOST_FRAMES and more and decoded(kept[0]).shape == (16, 640, 3)


def test_a_video_of_too_many_pixels_is_refused_by_its_header(tmp_path, monkeypatch):
    path = tmp_path / 'clip.mp4'
    write_video(str(path), shades(2))
    monkeypatch.setattr(uploads, 'FRAME_PIXELS', 48 * 64 - 1)
    with pytest.raises(ValueError, match='frames of the video have 3,072 pixels, more than 3,071'):
        read_clip([path.read_bytes()])


@pytest.mark.parametrize(
    'content, words',
    [
        # Lists of files, which FFmpeg would follow.
        (b'ffconcat version 1.0\nfile secret.mp4\n', 'no MP4'),
        (b'#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n', 'no MP4'),
        (b'<?xml version="1.0"?><MPD></MPD>', 'no MP4'),
        (b'v=0\no=- 0 0 IN IP4 127.0.0.1\n', 'no MP4'),
        (b'', 'no MP4'),
        (b'\0\0\0\x18ftypmp42' + bytes(99), 'cannot read the video as a video'),
    ],
)
def test_what_is_no_video_is_refused_and_leaves_nothing(content, words, tmp_path, monkeypatch):
    monkeypatch.setattr(uploads.tempfile, 'tempdir', str(tmp_path))
    with pytest.raises(ValueError, match=words) as error:
        read_clip([content])
    assert str(tmp_path) not in str(error.value) and not list(tmp_path.iterdir())
