"""Colours on the device against those of the data workers, one image at a time."""

import colorsys

import cv2
import numpy as np
import pytest
import torch
from mmengine.dataset import Compose
from mmpretrain.registry import TRANSFORMS

from mmc_plugin.datasets.transforms import DrawColours, view_ops
from mmc_plugin.models.utils import ViewDataPreprocessor, apply_colours

ALL = [dict(type='ViewColorJitter'), dict(type='ViewGrayscale'), dict(type='ViewGaussianBlur'),
       dict(type='ViewSolarize')]  # fmt: skip
NOTHING = [0] * 4 + [1] * 4 + [0, 256, 1]


def jitter(**strengths):
    none = dict.fromkeys(('brightness', 'contrast', 'saturation', 'hue'), 0)
    return dict(type='ViewColorJitter', **none | strengths, prob=1)


@pytest.fixture(scope='module')
def images(photographs):
    """Ten photographs and two of noise, uint8 (72, 96, 3), BGR."""
    found = [cv2.resize(cv2.imread(str(p)), (96, 72), interpolation=cv2.INTER_AREA)
             for p in photographs]  # fmt: skip
    return found + list(np.random.RandomState(0).randint(0, 256, (2, 72, 96, 3), np.uint8))


def planes(images):
    return torch.from_numpy(np.stack(images).transpose(0, 3, 1, 2))


def differences(steps, images, draws=24):
    """Of the device's pixels (draws · images, 3, H, W) from the workers', of the same seeds."""
    draw, apply = DrawColours([steps]), Compose([TRANSFORMS.build(step) for step in steps])
    out = []
    for seed in range(draws):
        numbers, expected = [], []
        for place, image in enumerate(images):
            np.random.seed(100 * seed + place)
            numbers.append(draw(dict(img=[image]))['colours'][0])
            left = np.random.random()
            np.random.seed(100 * seed + place)
            expected.append(apply(dict(img=image))['img'])
            assert np.random.random() == left  # as many numbers have been drawn
        found = apply_colours(planes(images), torch.from_numpy(np.stack(numbers)))
        out.append(found.double() - planes(expected))
    return torch.cat(out)


# Grey levels. An operation of the workers rounds, or drops the fraction, as PIL does.
@pytest.mark.parametrize(
    'steps, mean, largest',
    [
        ([jitter(brightness=0.4)], 0.5, 1),
        ([jitter(contrast=0.4)], 0.5, 1.3),
        ([jitter(contrast=1.5)], 0.6, 2),
        ([jitter(saturation=0.4)], 0.5, 1.3),
        ([jitter(brightness=0.4, contrast=0.4, saturation=0.4)], 1.5, 5),
        ([jitter(hue=0.1)], 0.5, 16),  # of 8 bits there, and in steps of 1/255 turn
        ([jitter(hue=0.5)], 0.5, 16),
        ([dict(type='ViewGrayscale', prob=1)], 0.3, 0.51),
        ([dict(type='ViewGaussianBlur')], 0.3, 0.51),
        ([dict(type='ViewGaussianBlur', sigma=(0, 9))], 0.3, 0.51),
        ([dict(type='ViewSolarize', prob=0.5)], 0, 0),
        ([dict(type='ViewSolarize', threshold=60, prob=0.5)], 0, 0),
        (ALL, 1.5, 30),
    ],
)
def test_pixels_are_those_of_the_data_workers_up_to_rounding(images, steps, mean, largest):
    error = differences(steps, images)
    assert error.abs().mean() <= mean and error.abs().max() <= largest
    assert (error.abs().mean((1, 2, 3)) <= 2.5 * mean + 1).all()


@pytest.mark.parametrize('turn', [-0.5, -0.1, 0.03, 0.37, 0.5])
def test_hue_is_colorsys(images, turn):
    grey = np.full((9, 16, 3), 77, np.uint8)
    small = [cv2.resize(image, (16, 9), interpolation=cv2.INTER_AREA) for image in images] + [grey]
    numbers = torch.tensor([[0, 3, 0, 0, 1, turn, 1, 1, 0, 256, 1]]).repeat(len(small), 1)
    found = apply_colours(planes(small), numbers).permute(0, 2, 3, 1).reshape(-1, 3)
    for pixel, (blue, green, red) in zip(found, np.reshape(small, (-1, 3)) / 255, strict=True):
        hue, *rest = colorsys.rgb_to_hsv(red, green, blue)
        expected = colorsys.hsv_to_rgb((hue + turn) % 1, *rest)[::-1]
        assert pixel.tolist() == pytest.approx([255 * each for each in expected], abs=2e-3)


def test_order_of_the_jitter_is_of_each_image(images):
    """All orders in one batch, and operations that clip, so that the order shows."""
    names = ['brightness', 'contrast', 'saturation', 'hue']
    factors = dict(brightness=1.7, contrast=1.8, saturation=1.9, hue=0.2)
    orders = torch.tensor([[0, 1, 2, 3], [3, 2, 1, 0], [1, 3, 0, 2], [2, 0, 3, 1], [1, 0, 2, 3]])
    rows = [[*order, *[factors[names[k]] for k in order], 0, 256, 1] for order in orders.tolist()]
    found = apply_colours(planes([images[0]] * len(rows)), torch.tensor(rows))
    for pixels, order in zip(found, orders.tolist(), strict=True):
        image = images[0]
        for kind in order:
            image = getattr(view_ops, f'adjust_{names[kind]}')(image, factors[names[kind]])
        assert (pixels - planes([image])[0]).abs().mean() < 2.5
    spread = [(a - b).abs().mean() for i, a in enumerate(found) for b in found[:i]]
    assert min(spread) > 2.5


def test_an_image_does_not_depend_on_its_batch(images):
    np.random.seed(0)
    draw = DrawColours([ALL])
    numbers = torch.from_numpy(np.stack([draw(dict(img=[i]))['colours'][0] for i in images]))
    together = apply_colours(planes(images), numbers)
    for place, image in enumerate(images):
        alone = apply_colours(planes([image]), numbers[place : place + 1])
        torch.testing.assert_close(together[place : place + 1], alone, rtol=0, atol=1e-3)


def test_numbers_of_nothing_change_nothing(images):
    before = planes(images)
    numbers = torch.tensor([NOTHING + [0] * 6] * len(images))
    assert torch.equal(apply_colours(before, numbers), before.float())
    assert torch.equal(before, planes(images))


def test_images_of_other_channels():
    image = np.random.RandomState(0).uniform(0, 255, (40, 32, 5)).astype(np.float32)
    steps = [jitter(brightness=0.4, contrast=0.8), ALL[2], dict(ALL[3], prob=0.5)]
    error = differences(steps, [image, image[::-1].copy()])
    near = error.abs() < 1e-3  # but where rounding moves a value across the threshold
    assert near.float().mean() > 0.9999
    with pytest.raises(ValueError, match='Images of 5 channels .* leave ViewGrayscale out'):
        DrawColours([ALL[1:]])(dict(img=[image]))
    with pytest.raises(ValueError, match='set saturation=0 and hue=0 of its ViewColorJitter'):
        DrawColours([[dict(type='ViewColorJitter', hue=0)]])(dict(img=[image]))


def test_the_preprocessor_applies_them_before_it_normalises(images):
    np.random.seed(0)
    sizes = [(72, 96), (72, 96), (36, 40), (20, 24), (36, 40)]  # two views, three crops
    batch = [[cv2.resize(image, size[::-1]) for image in images[:4]] for size in sizes]
    draw = DrawColours([ALL, ALL[:1], ALL, [], ALL[2:]])
    numbers = [draw(dict(img=list(each)))['colours'] for each in zip(*batch, strict=True)]
    colours = torch.from_numpy(np.stack(numbers))  # (B, images, n)
    mean, std = [120.0, 110, 100], [50.0, 60, 70]
    tensors = [planes(each) for each in batch]
    data = dict(inputs=dict(views=tensors[:2], crops=tensors[2:], colours=colours))
    out = ViewDataPreprocessor(mean, std, to_rgb=True)(data)['inputs']
    assert set(out) == {'views', 'crops'}
    found = [*out['views'], out['crops'][0][0], out['crops'][1][0], out['crops'][0][1]]
    for place, each in enumerate(found):
        changed = apply_colours(tensors[place], colours[:, place]).flip(1)
        expected = (changed - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)
        torch.testing.assert_close(each, expected)
        assert (changed.flip(1) != tensors[place]).any() == (place != 3)


def test_autocast_keeps_the_precision(images):
    np.random.seed(0)
    numbers = torch.from_numpy(DrawColours([ALL])(dict(img=[images[0]]))['colours'])
    plain = apply_colours(planes(images[:1]), numbers)
    with torch.autocast('cpu', torch.bfloat16):
        assert torch.equal(apply_colours(planes(images[:1]), numbers), plain)


def test_no_value_is_read_on_the_way(images):
    numbers = torch.tensor([NOTHING + [0] * 6] * len(images), device='meta')
    assert apply_colours(planes(images).to('meta'), numbers).shape == (len(images), 3, 72, 96)


@pytest.mark.gpu
def test_nothing_waits_for_the_device(images):
    numbers = torch.tensor([NOTHING + [0] * 6] * len(images)).cuda()
    pixels = planes(images).cuda()
    torch.cuda.set_sync_debug_mode('error')
    try:
        found = apply_colours(pixels, numbers)
    finally:
        torch.cuda.set_sync_debug_mode('default')
    assert torch.equal(found.cpu(), planes(images).float())


def test_wrong_numbers_get_a_sentence(images):
    views = [planes(images[:4])] * 2
    right = torch.tensor(NOTHING).repeat(4, 2, 1)
    preprocessor = ViewDataPreprocessor()
    preprocessor(dict(inputs=dict(views=views, colours=right)))
    for wrong, words in [
        (right[:, :1], r"inputs\['colours'\] must be \(images, 2 views and crops, numbers\)"),
        (right[0], r'but is \(2, 11\): let no transform after DrawColours add or drop images'),
        (right[:3], r'Colours of 4 images are \(4, 11 or more numbers\), .*, but are \(3, 11\)'),
        (right[..., :10], r'but are \(4, 10\)'),
    ]:
        with pytest.raises(ValueError, match=words):
            preprocessor(dict(inputs=dict(views=views, colours=wrong)))
