"""View transforms against torchvision's on PIL: the random parameters and the whole pipeline."""

import random
from collections import Counter

import numpy as np
import pytest
import torch
import torchvision.transforms.functional as TF
from mmengine.dataset import Compose
from mmpretrain.registry import TRANSFORMS
from PIL import Image, ImageFilter, ImageOps
from scipy.stats import chisquare, ks_2samp, kstest
from skimage import data as skimage_data
from sklearn.datasets import load_sample_image
from torchvision import transforms

from mmc_plugin.datasets.transforms import view_ops
from mmc_plugin.datasets.transforms.views import (
    ViewColorJitter,
    ViewCrop,
    ViewFlip,
    ViewGaussianBlur,
    ViewGrayscale,
    ViewSolarize,
)

# Seeds are fixed, so a test passes always or never; a level this low makes "never" mean a defect.
LEVEL = 1e-3


@pytest.fixture(autouse=True)
def seeded():
    torch.set_num_threads(1)
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)


@pytest.fixture(scope='module')
def photographs():
    images = (skimage_data.astronaut(), skimage_data.coffee(), load_sample_image('flower.jpg'))
    return [np.asarray(Image.fromarray(image).resize((250, 188))) for image in images]


def view_configs(size, blur_prob, solarize_prob):
    return [
        dict(type='ViewCrop', size=size, scale=(0.2, 1.0)),
        dict(type='ViewFlip', prob=0.5),
        dict(
            type='ViewColorJitter', brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1, prob=0.8
        ),
        dict(type='ViewGrayscale', prob=0.2),
        dict(type='ViewGaussianBlur', sigma=(0.1, 2.0), prob=blur_prob),
        dict(type='ViewSolarize', threshold=128, prob=solarize_prob),
    ]


def our_view(*args):
    return Compose([TRANSFORMS.build(config) for config in view_configs(*args)])


def pil_view(size, blur_prob, solarize_prob):
    return transforms.Compose(
        [
            transforms.RandomResizedCrop(
                size, scale=(0.2, 1.0), interpolation=transforms.InterpolationMode.BICUBIC
            ),
            transforms.RandomHorizontalFlip(0.5),
            transforms.RandomApply([transforms.ColorJitter(0.4, 0.4, 0.4, 0.1)], p=0.8),
            transforms.RandomGrayscale(0.2),
            transforms.Lambda(
                lambda image: (
                    image.filter(ImageFilter.GaussianBlur(random.uniform(0.1, 2)))
                    if random.random() < blur_prob
                    else image
                )
            ),
            transforms.Lambda(
                lambda image: ImageOps.solarize(image) if random.random() < solarize_prob else image
            ),
        ]
    )


# --- random parameters ---------------------------------------------------------------------------


@pytest.mark.parametrize('height, width', [(375, 500), (500, 333), (31, 33), (64, 300)])
@pytest.mark.parametrize('scale', [(0.2, 1.0), (0.05, 0.25)])
def test_crop_boxes_follow_torchvision(height, width, scale):
    ratio = (3 / 4, 4 / 3)
    crop = ViewCrop(224, scale, ratio)
    image = Image.new('L', (width, height))
    ours = np.array([crop.sample_box(height, width) for _ in range(2500)], float)
    theirs = np.array(
        [transforms.RandomResizedCrop.get_params(image, scale, ratio) for _ in range(2500)], float
    )

    def statistics(boxes):
        top, left, box_height, box_width = boxes.T
        # 9 where the box leaves no choice: the place is then another variable, so keep it apart.
        vertical = np.divide(
            top, height - box_height, where=box_height < height, out=np.full(len(top), 9.0)
        )
        horizontal = np.divide(
            left, width - box_width, where=box_width < width, out=np.full(len(left), 9.0)
        )
        return dict(
            area=box_height * box_width,
            aspect=box_width / box_height,
            top=vertical,
            left=horizontal,
            height=box_height,
            width=box_width,
        )

    theirs = statistics(theirs)
    for name, values in statistics(ours).items():
        assert ks_2samp(values, theirs[name]).pvalue > LEVEL, name
    top, left, box_height, box_width = ours.T
    assert (top >= 0).all() and (top + box_height <= height).all()
    assert (left >= 0).all() and (left + box_width <= width).all()


@pytest.mark.parametrize('height, width', [(1, 500), (7, 90), (90, 7), (60, 61)])
def test_crop_fallback_is_torchvisions(height, width):
    """A box that never fits: both sides fall back to a centred one."""
    for scale, ratio in [((1.0, 1.0), (3.0, 3.5)), ((1.0, 1.0), (0.2, 0.25))]:
        box = ViewCrop(8, scale, ratio).sample_box(height, width)
        theirs = transforms.RandomResizedCrop.get_params(
            Image.new('L', (width, height)), scale, ratio
        )
        if min(theirs[2:]) > 0:  # torchvision returns an empty box of an image of one pixel's side
            assert box == theirs
        else:
            assert min(box[2:]) == 1


def test_jitter_factors_and_order_follow_torchvision():
    jitter = ViewColorJitter(0.4, 0.4, 0.4, 0.1)
    reference = transforms.ColorJitter(0.4, 0.4, 0.4, 0.1)
    names = ('brightness', 'contrast', 'saturation', 'hue')
    ours = [jitter.sample_steps() for _ in range(2400)]
    theirs = [
        transforms.ColorJitter.get_params(
            reference.brightness, reference.contrast, reference.saturation, reference.hue
        )
        for _ in range(2400)
    ]
    for position, name in enumerate(names, start=1):
        factors = [factor for steps in ours for step, _, factor in steps if step == name]
        assert len(factors) == 2400
        assert ks_2samp(factors, [params[position] for params in theirs]).pvalue > LEVEL, name
    orders = Counter(tuple(name for name, _, _ in steps) for steps in ours)
    assert len(orders) == 24
    assert chisquare(list(orders.values())).pvalue > LEVEL
    # Factors do not depend on the order in which they apply.
    first = [steps[0][2] for steps in ours if steps[0][0] == 'hue']
    last = [steps[3][2] for steps in ours if steps[3][0] == 'hue']
    assert ks_2samp(first, last).pvalue > LEVEL


def test_jitter_bounds():
    steps = [ViewColorJitter(1.5, 0, 0, 0).sample_steps() for _ in range(500)]
    assert all([name for name, _, _ in draw] == ['brightness'] for draw in steps)
    factors = [draw[0][2] for draw in steps]
    assert kstest(factors, 'uniform', args=(0, 2.5)).pvalue > LEVEL  # [max(0, 1 - 1.5), 1 + 1.5]


def test_blur_sigma_is_uniform(monkeypatch):
    sigmas = []
    monkeypatch.setattr(view_ops, 'gaussian_blur', lambda image, sigma: sigmas.append(sigma))
    blur = ViewGaussianBlur((0.1, 2.0), prob=1.0)
    for _ in range(2000):
        blur(dict(img=np.zeros((4, 4, 3), np.uint8)))
    assert kstest(sigmas, 'uniform', args=(0.1, 1.9)).pvalue > LEVEL


@pytest.mark.parametrize('prob', (0, 0.1, 0.5, 1))
@pytest.mark.parametrize(
    'build',
    [
        ViewFlip,
        lambda prob: ViewColorJitter(0.4, 0, 0, 0, prob=prob),
        ViewGrayscale,
        lambda prob: ViewGaussianBlur((1, 2), prob=prob),
        lambda prob: ViewSolarize(threshold=0, prob=prob),
    ],
    ids=['flip', 'jitter', 'grey', 'blur', 'solarize'],
)
def test_prob(build, prob):
    transform = build(prob=prob)
    image = np.random.RandomState(1).randint(1, 256, (5, 6, 3), np.uint8)
    changed = sum(transform(dict(img=image))['img'] is not image for _ in range(2000))
    tolerance = 4 * np.sqrt(2000 * prob * (1 - prob))
    assert abs(changed - 2000 * prob) <= tolerance


# --- the whole view ------------------------------------------------------------------------------


def on_pil(function):
    def run(image, *args):
        result = function(Image.fromarray(np.ascontiguousarray(image[..., ::-1])), *args)
        return np.ascontiguousarray(np.asarray(result)[..., ::-1])

    return run


@pytest.mark.parametrize('blur_prob, solarize_prob', [(1.0, 0.0), (0.1, 0.2)])
def test_same_draws_give_the_picture_of_pil(photographs, monkeypatch, blur_prob, solarize_prob):
    """The pipeline, and the same with every operation done by torchvision on PIL."""
    size, draws = 112, 30
    view = our_view(size, blur_prob, solarize_prob)
    inputs = [np.ascontiguousarray(rgb[..., ::-1]) for rgb in photographs]

    def run():
        np.random.seed(3)
        return np.stack([view(dict(img=image))['img'] for image in inputs for _ in range(draws)])

    ours = run().astype(int)
    monkeypatch.setattr(
        view_ops,
        'crop_and_resize',
        on_pil(
            lambda image, box, size: TF.resized_crop(
                image, *box, size, interpolation=TF.InterpolationMode.BICUBIC
            )
        ),
    )
    monkeypatch.setattr(
        ViewColorJitter,
        '_STEPS',
        tuple(
            (name, on_pil(getattr(TF, f'adjust_{name}')))
            for name in ('brightness', 'contrast', 'saturation', 'hue')
        ),
    )
    monkeypatch.setattr(view_ops, 'to_grey', on_pil(lambda image: TF.to_grayscale(image, 3)))
    monkeypatch.setattr(
        view_ops,
        'gaussian_blur',
        on_pil(lambda image, sigma: image.filter(ImageFilter.GaussianBlur(sigma))),
    )
    monkeypatch.setattr(view_ops, 'solarize', on_pil(ImageOps.solarize))
    error = ours - run()

    # Solarising turns the one level between 127 and 128 around, which changes nothing much:
    # 127 stays and 128 becomes 127.
    per_image = np.abs(error).mean((1, 2, 3))
    assert per_image.mean() < 0.6
    assert per_image.max() < 2.5
    assert abs(error.mean()) < 0.1


def statistics(views_rgb):
    """Per view: mean and deviation of each channel, and the energy of the gradient."""
    views = np.stack(views_rgb).astype(np.float32)
    rows = {}
    for index, channel in enumerate('rgb'):
        rows[f'mean {channel}'] = views[..., index].mean((1, 2))
        rows[f'std {channel}'] = views[..., index].std((1, 2))
    rows['log gradient'] = np.log1p(
        (np.diff(views, axis=1) ** 2).mean((1, 2, 3))
        + (np.diff(views, axis=2) ** 2).mean((1, 2, 3))
    )
    rows['left - right'] = (views[:, :, :56] - views[:, :, 56:]).mean((1, 2, 3))
    return rows


@pytest.mark.parametrize('blur_prob, solarize_prob', [(1.0, 0.0), (0.1, 0.2)])
def test_distribution_is_that_of_torchvision_on_pil(photographs, blur_prob, solarize_prob):
    size, draws = 112, 150
    view, reference = (
        our_view(size, blur_prob, solarize_prob),
        pil_view(size, blur_prob, solarize_prob),
    )
    for rgb in photographs:
        bgr, pil = np.ascontiguousarray(rgb[..., ::-1]), Image.fromarray(rgb)
        ours = statistics([view(dict(img=bgr))['img'][..., ::-1] for _ in range(draws)])
        theirs = statistics([np.asarray(reference(pil)) for _ in range(draws)])
        for name, values in ours.items():
            assert ks_2samp(values, theirs[name]).pvalue > LEVEL, name


# --- use in a pipeline ---------------------------------------------------------------------------


def test_two_views_in_an_mmpretrain_pipeline():
    views = TRANSFORMS.build(
        dict(
            type='MultiView',
            num_views=[1, 1, 2],
            transforms=[
                [TRANSFORMS.build(config) for config in view_configs(*args)]
                for args in ((32, 1.0, 0.0), (32, 0.1, 0.2), (16, 0.5, 0.0))
            ],
        )
    )
    image = np.random.RandomState(0).randint(0, 256, (50, 41, 3), np.uint8)
    kept = image.copy()

    def run(seed):
        np.random.seed(seed)
        return views(dict(img=image))['img']

    first, again, other = run(5), run(5), run(6)
    assert [view.shape for view in first] == [(32, 32, 3), (32, 32, 3), (16, 16, 3), (16, 16, 3)]
    assert all(view.dtype == np.uint8 and view.flags.c_contiguous for view in first)
    for a, b, c in zip(first, again, other, strict=True):
        np.testing.assert_array_equal(a, b)
        assert (a != c).any()
    assert (first[2] != first[3]).any()  # each view draws for itself
    np.testing.assert_array_equal(image, kept)


@pytest.mark.parametrize('shape', [(1, 1), (1, 40), (40, 1), (3, 500), (37, 53)])
def test_any_image_size(shape):
    image = np.random.RandomState(0).randint(0, 256, (*shape, 3), np.uint8)
    kept = image.copy()
    view = our_view(24, 1.0, 1.0)
    for _ in range(20):
        assert view(dict(img=image))['img'].shape == (24, 24, 3)
    np.testing.assert_array_equal(image, kept)


def test_flip():
    image = np.random.RandomState(0).randint(0, 256, (5, 8, 3), np.uint8)
    flipped = ViewFlip(prob=1)(dict(img=image))['img']
    np.testing.assert_array_equal(flipped, image[:, ::-1])
    assert flipped.flags.c_contiguous


def test_a_crop_of_a_crop_draws_a_box_of_its_own():
    image = np.zeros((300, 400, 3), np.uint8)
    results = ViewCrop(64, scale=(0.2, 0.3)).transform(dict(img=image))
    top, left, height, width = ViewCrop(32).transform(results)['crop_box']
    assert top + height <= 64 and left + width <= 64
    given = ViewCrop(32).transform(dict(img=image, given_box=(5, 6, 70, 80)))
    assert given['crop_box'] == (5, 6, 70, 80) and 'given_box' not in given


def test_crop_records_the_size():
    results = ViewCrop((20, 30))(dict(img=np.zeros((50, 50, 3), np.uint8)))
    assert results['img'].shape == (20, 30, 3)
    assert results['img_shape'] == (20, 30)


@pytest.mark.parametrize(
    'build, message',
    [
        (lambda: ViewCrop(0), 'size must be a positive whole number'),
        (lambda: ViewCrop(22.4), 'size must be a positive whole number'),
        (lambda: ViewCrop((224, 224, 3)), 'size must be a positive whole number'),
        (lambda: ViewCrop(224, scale=(0, 1)), r'scale must be a pair .* within \(0, 1\]'),
        (lambda: ViewCrop(224, scale=(0.5, 0.2)), 'scale must be a pair'),
        (lambda: ViewCrop(224, scale=0.2), 'scale must be a pair'),
        (lambda: ViewCrop(224, scale=(0.2, 1.5)), 'scale must be a pair'),
        (lambda: ViewCrop(224, ratio=(-1, 1)), 'ratio must be a pair'),
        (lambda: ViewFlip(prob=1.2), r'prob must be a number in \[0, 1\] but is 1.2'),
        (lambda: ViewFlip(prob=True), 'prob must be a number'),
        (lambda: ViewGrayscale(prob=float('nan')), 'prob must be a number'),
        (lambda: ViewColorJitter(brightness=-0.1), 'brightness must be a number'),
        (lambda: ViewColorJitter(contrast='0.4'), 'contrast must be a number'),
        (lambda: ViewColorJitter(saturation=None), 'saturation must be a number'),
        (lambda: ViewColorJitter(hue=0.6), r'hue must be a number in \[0, 0.5\] but is 0.6'),
        (lambda: ViewGaussianBlur(sigma=2.0), 'sigma must be a pair'),
        (lambda: ViewGaussianBlur(sigma=(-1, 2)), r'sigma must be a pair .* within \[0, inf\]'),
        (lambda: ViewSolarize(threshold=300), r'threshold must be a grey level in \[0, 256\]'),
        (lambda: ViewSolarize(threshold=0.5), 'threshold must be a grey level'),
    ],
)
def test_bad_arguments(build, message):
    with pytest.raises(ValueError, match=message):
        build()


@pytest.mark.parametrize(
    'image',
    [
        np.zeros((8, 8), np.uint8),
        np.zeros((8, 8, 4), np.uint8),
        np.zeros((8, 8, 3), np.float32),
        np.zeros((0, 8, 3), np.uint8),
        Image.new('RGB', (8, 8)),
        [np.zeros((8, 8, 3), np.uint8)],
    ],
    ids=['grey', 'alpha', 'float', 'empty', 'pil', 'list'],
)
@pytest.mark.parametrize('transform', [ViewCrop(8), ViewFlip(), ViewColorJitter()])
def test_bad_images(transform, image):
    with pytest.raises(ValueError, match=r'uint8 array of shape \(H, W, 3\) but found'):
        transform(dict(img=image))


def test_repr_names_the_arguments():
    assert repr(ViewSolarize(prob=0.3)) == 'ViewSolarize(prob=0.3, threshold=128)'
    assert 'scale=(0.2, 1.0)' in repr(ViewCrop(224))
