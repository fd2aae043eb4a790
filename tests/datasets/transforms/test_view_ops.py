"""View operations against torchvision.transforms.functional and PIL, in grey levels (of 255)."""

import numpy as np
import pytest
import torchvision.transforms.functional as TF
from PIL import Image, ImageFilter, ImageOps
from skimage import data as skimage_data
from sklearn.datasets import load_sample_image

from mmc_plugin.datasets.transforms import view_ops

PHOTOGRAPHS = {
    'astronaut': skimage_data.astronaut,
    'coffee': skimage_data.coffee,
    'chelsea': skimage_data.chelsea,
    'rocket': skimage_data.rocket,
    'china': lambda: load_sample_image('china.jpg'),
    'flower': lambda: load_sample_image('flower.jpg'),
}


def every_colour():
    """17**3 colours that span the cube, among them black, white and all corners."""
    axis = np.linspace(0, 255, 17).round().astype(np.uint8)
    return np.stack(np.meshgrid(axis, axis, axis), -1).reshape(17, 289, 3)


@pytest.fixture(scope='module', params=[*PHOTOGRAPHS, 'every_colour'])
def rgb(request):
    if request.param == 'every_colour':
        return every_colour()
    return np.ascontiguousarray(PHOTOGRAPHS[request.param]()[40:261, 60:293])


def difference(ours_bgr, theirs):
    theirs = np.asarray(theirs).astype(int)
    assert ours_bgr.dtype == np.uint8
    assert ours_bgr.shape == theirs.shape
    return ours_bgr[..., ::-1].astype(int) - theirs


def check(ours_bgr, theirs, largest, mean):
    error = difference(ours_bgr, theirs)
    assert np.abs(error).max() <= largest
    assert np.abs(error).mean() <= mean


def bgr_and_pil(rgb):
    return np.ascontiguousarray(rgb[..., ::-1]), Image.fromarray(rgb)


FACTORS = (0, 0.6, 0.83, 1, 1.17, 1.4, 3)


@pytest.mark.parametrize('factor', FACTORS)
def test_brightness(rgb, factor):
    bgr, pil = bgr_and_pil(rgb)
    check(view_ops.adjust_brightness(bgr, factor), TF.adjust_brightness(pil, factor), 0, 0)


def test_the_last_values_of_a_row_are_those_of_the_others():
    """OpenCV rounds what is left of 32 values in another way: this factor gives 254.99 of 92."""
    image = np.full((5, 7, 3), 92, np.uint8)
    assert (view_ops.adjust_brightness(image, 2.7717380831661433) == 254).all()


@pytest.mark.parametrize('factor', FACTORS)
def test_contrast(rgb, factor):
    bgr, pil = bgr_and_pil(rgb)
    check(view_ops.adjust_contrast(bgr, factor), TF.adjust_contrast(pil, factor), 1, 0.05)


@pytest.mark.parametrize('factor', FACTORS)
def test_saturation(rgb, factor):
    bgr, pil = bgr_and_pil(rgb)
    # The luma may differ by a rounding, which the factor multiplies.
    largest = 1 if factor < 2 else 2
    check(view_ops.adjust_saturation(bgr, factor), TF.adjust_saturation(pil, factor), largest, 0.05)


@pytest.mark.parametrize('factor', (-0.5, -0.1, -0.03, 0, 0.002, 0.05, 0.1, 0.5))
def test_hue(rgb, factor):
    bgr, pil = bgr_and_pil(rgb)
    # Uniform colours are more saturated than those of photographs, and a step of hue is larger.
    mean = 0.8 if rgb.shape[0] > 17 else 1.1
    check(view_ops.adjust_hue(bgr, factor), TF.adjust_hue(pil, factor), 12, mean)


def test_grey(rgb):
    bgr, pil = bgr_and_pil(rgb)
    check(view_ops.to_grey(bgr), TF.to_grayscale(pil, 3), 1, 0.02)


@pytest.mark.parametrize('threshold', (0, 1, 128, 255, 256))
def test_solarize(rgb, threshold):
    bgr, pil = bgr_and_pil(rgb)
    check(view_ops.solarize(bgr, threshold), ImageOps.solarize(pil, threshold), 0, 0)


@pytest.mark.parametrize('sigma', (0, 0.1, 0.25, 0.5, 0.8, 1.2, 1.6, 2, 4))
@pytest.mark.parametrize('name', PHOTOGRAPHS)
def test_gaussian_blur(name, sigma):
    bgr, pil = bgr_and_pil(np.ascontiguousarray(PHOTOGRAPHS[name]()[40:261, 60:293]))
    error = difference(
        view_ops.gaussian_blur(bgr, sigma), pil.filter(ImageFilter.GaussianBlur(sigma))
    )
    border = 7 if sigma <= 2 else 14
    inside = error[border:-border, border:-border]
    assert np.abs(inside).max() <= 5
    assert np.abs(inside).mean() <= 0.7
    assert abs(inside.mean()) <= 0.05  # no brightness gained or lost
    assert np.abs(error).max() <= 30
    assert np.abs(error).mean() <= 0.8


@pytest.mark.parametrize('sigma', np.linspace(0, 3, 31))
def test_box_kernel(sigma):
    kernel = view_ops.box_kernel(sigma).astype(np.float64)
    assert len(kernel) % 2 == 1
    assert kernel.sum() == 1
    np.testing.assert_array_equal(kernel, kernel[::-1])
    np.testing.assert_array_equal(kernel * 256, np.rint(kernel * 256))
    offsets = np.arange(len(kernel)) - len(kernel) // 2
    deviation = np.sqrt((kernel * offsets**2).sum())
    # Two steps of 1/256 at the neighbours are all there is at a deviation of .1.
    assert deviation == pytest.approx(sigma, abs=0.03 if sigma > 0.2 else 0.1)


BOXES = [
    (0, 0, 221, 233),
    (10, 20, 150, 130),
    (5, 7, 211, 170),
    (0, 33, 221, 41),
    (100, 0, 17, 233),
    (220, 232, 1, 1),
    (3, 4, 112, 112),
]


@pytest.mark.parametrize('size', [(112, 112), (96, 150), (1, 1), (300, 7)])
@pytest.mark.parametrize('box', BOXES)
@pytest.mark.parametrize('name', PHOTOGRAPHS)
def test_crop_and_resize(name, box, size):
    bgr, pil = bgr_and_pil(np.ascontiguousarray(PHOTOGRAPHS[name]()[40:261, 60:293]))
    ours = view_ops.crop_and_resize(bgr, box, size)
    theirs = TF.resized_crop(pil, *box, size, interpolation=TF.InterpolationMode.BICUBIC)
    # Where both sides shrink a lot, a rounding of the first pass is a larger part of few pixels.
    check(ours, theirs, 2, 0.02 if min(size) > 7 else 0.7)
    assert ours.flags.c_contiguous


def test_antialiasing():
    """A chessboard of single pixels averages to grey; without a low-pass it stays as it is."""
    board = (np.indices((400, 400)).sum(0) % 2 * 255).astype(np.uint8)[..., None].repeat(3, -1)
    ours = view_ops.crop_and_resize(board, (0, 0, 400, 400), (100, 100))
    assert np.abs(ours[4:-4, 4:-4].astype(int) - 127.5).max() < 8


OPERATIONS = {
    'brightness': lambda image: view_ops.adjust_brightness(image, 1.3),
    'contrast': lambda image: view_ops.adjust_contrast(image, 1.3),
    'saturation': lambda image: view_ops.adjust_saturation(image, 1.3),
    'hue': lambda image: view_ops.adjust_hue(image, 0.08),
    'grey': view_ops.to_grey,
    'blur': lambda image: view_ops.gaussian_blur(image, 1.1),
    'solarize': lambda image: view_ops.solarize(image, 128),
    'crop': lambda image: view_ops.crop_and_resize(image, (0, 0, *image.shape[:2]), (20, 30)),
}


@pytest.mark.parametrize('operation', OPERATIONS.values(), ids=OPERATIONS)
def test_any_memory_layout_and_input_untouched(operation):
    image = np.random.RandomState(0).randint(0, 256, (31, 45, 3), np.uint8)
    kept = image.copy()
    expected = operation(image)
    np.testing.assert_array_equal(image, kept)
    assert not np.shares_memory(expected, image)

    inside = np.zeros((62, 90, 3), np.uint8)
    inside[::2, 10:55] = image
    read_only = image.copy()
    read_only.flags.writeable = False
    layouts = {
        'strided': inside[::2, 10:55],
        'negative strides': np.ascontiguousarray(image[:, ::-1])[:, ::-1],
        'column-major': np.asfortranarray(image),
        'read-only': read_only,
    }
    for name, view in layouts.items():
        np.testing.assert_array_equal(operation(view), expected, err_msg=name)
        np.testing.assert_array_equal(view, kept, err_msg=name)


@pytest.mark.parametrize('shape', [(1, 1), (1, 9), (9, 1), (2, 3)])
@pytest.mark.parametrize('operation', OPERATIONS.values(), ids=OPERATIONS)
def test_tiny_images(operation, shape):
    result = operation(np.full((*shape, 3), 90, np.uint8))
    large = operation(np.full((40, 60, 3), 90, np.uint8))
    assert len(np.unique(large)) == 1  # a flat grey image stays flat and grey
    size = (20, 30) if large.shape == (20, 30, 3) else shape
    np.testing.assert_array_equal(result, np.broadcast_to(large[0, 0], (*size, 3)), strict=True)
