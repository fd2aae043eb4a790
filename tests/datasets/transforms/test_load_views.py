"""Views of a photograph that is decoded smaller are those of the whole photograph."""

import io

import cv2
import numpy as np
import pytest
from mmpretrain.datasets.transforms import MultiView
from PIL import Image, ImageOps

from mmc_plugin.datasets.transforms import LoadImage, LoadViews
from mmc_plugin.datasets.transforms.image_headers import orientation
from mmc_plugin.datasets.transforms.load_views import _header, _upright_size
from mmc_plugin.datasets.transforms.loading import UnreadableImageError

CROP = dict(type='ViewCrop', size=64, scale=(0.2, 1.0))
VIEWS = [[CROP, dict(type='ViewFlip')], [CROP, dict(type='ViewColorJitter')]]
BARE = [[CROP], [dict(CROP, size=(32, 48))]]


@pytest.fixture(scope='module')
def large(tmp_path_factory, photographs):
    """Photographs of three megapixels, upright and turned by EXIF, and one that is grey."""
    folder = tmp_path_factory.mktemp('large')
    for number, turned in enumerate((1, 6, 3)):
        image = cv2.resize(cv2.imread(str(photographs[number])), (2048, 1500),
                           interpolation=cv2.INTER_CUBIC)  # fmt: skip
        image = Image.fromarray(image[..., ::-1])
        image = image.convert('L') if number == 2 else image
        exif = Image.Exif()
        exif[0x0112] = turned
        image.save(folder / f'{number}.jpg', quality=95, exif=exif)
    return sorted(folder.glob('*.jpg'))


def seeded(transform, path, seed):
    np.random.seed(seed)
    return transform(dict(img_path=str(path)))


def test_small_ones_are_as_ever_to_the_bit(photo_folder):
    both, load, views = LoadViews(VIEWS, [1, 1]), LoadImage(), MultiView(VIEWS, [1, 1])
    for seed, path in enumerate(sorted(photo_folder.glob('*.jpg'))):
        found = seeded(both, path, seed)
        expected = seeded(lambda x: views(load(x)), path, seed)
        assert found['img_shape'] == expected['img_shape']
        assert all(map(np.array_equal, found['img'], expected['img']))


def test_large_ones_are_cut_from_the_same_boxes(large, monkeypatch):
    """Oracle: the whole photograph, cut at the boxes that are drawn first."""
    both, reductions = LoadViews(BARE, [2, 1]), []
    decode = LoadImage._decode
    monkeypatch.setattr(
        LoadImage, '_decode', lambda self, *a: reductions.append([*a, 1][2]) or decode(self, *a)
    )
    for path in large:
        whole = LoadImage()(dict(img_path=str(path)))['img']
        reductions.clear()
        errors, shifted = [], []
        for seed in range(8):
            found = seeded(both, path, seed)['img']
            np.random.seed(seed)
            boxes = [crop.sample_box(*whole.shape[:2]) for crop in both._crops]
            for view, box, crop in zip(found, boxes, both._crops, strict=True):
                expected = crop(dict(img=whole, given_box=box))['img']
                assert view.shape == expected.shape
                errors.append(np.abs(view.astype(int) - expected).mean())
                moved = box[0], box[1], box[2] * 15 // 16, box[3] * 15 // 16
                other = crop(dict(img=whole, given_box=moved))['img']
                shifted.append(np.abs(other.astype(int) - expected).mean())
        assert max(errors) < 5 and np.mean(errors) < np.mean(shifted) / 3
        assert set(reductions) == {8} or {4, 8} <= set(reductions)


def test_no_box_gets_fewer_pixels_than_its_view(large):
    """Whatever is drawn: the decoded box has at least twice as many, a side, up to rounding."""
    both = LoadViews([[dict(CROP, size=200, scale=(0.05, 1.0))]], [1])
    for seed in range(20):
        np.random.seed(seed)
        box = both._crops[0].sample_box(1500, 2048)
        shape = seeded(both, large[0], seed)['img_shape']
        scale = shape[0] / 1500
        assert scale == 1 or min(box[2:]) * scale > 399


def test_what_cannot_be_read_says_so(tmp_path, large):
    (tmp_path / 'a.jpg').write_bytes(large[0].read_bytes()[:5000])
    with pytest.raises(UnreadableImageError, match='truncated'):
        LoadViews(VIEWS, [1, 1])(dict(img_path=str(tmp_path / 'a.jpg')))


@pytest.mark.parametrize('order', ['<', '>'])
@pytest.mark.parametrize('turned', range(1, 9))
def test_the_size_is_that_which_pillow_turns_it_to(order, turned):
    image, exif = Image.new('RGB', (24, 40)), Image.Exif()
    exif.endian = order  # what it is written in
    exif[0x010F], exif[0x0112] = 'a maker', turned
    file = io.BytesIO()
    image.save(file, 'JPEG', exif=exif)
    data = file.getvalue()
    assert (b'MM' if order == '>' else b'II') in data[:60]
    with Image.open(io.BytesIO(data)) as opened:
        width, height = ImageOps.exif_transpose(opened).size
    assert _upright_size(_header(data)) == (height, width)
    content = exif.tobytes().removeprefix(b'Exif\0\0')
    assert orientation(content) == turned
    for end in range(len(content)):  # cut anywhere, it says nothing or the same
        assert orientation(content[:end]) in (1, turned)


def test_headers_that_keep_a_reader_busy_are_refused(tmp_path, large):
    data = large[0].read_bytes()
    (tmp_path / 'a.jpg').write_bytes(data[:2] + b'\xff\xe2\0\2' * 5000 + data[2:])
    with pytest.raises(UnreadableImageError, match='more than 4096 segments'):
        LoadViews(VIEWS, [1, 1])(dict(img_path=str(tmp_path / 'a.jpg')))
