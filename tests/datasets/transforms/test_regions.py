"""Regions that two views share, against the pixels that they show."""

import numpy as np
import pytest

from mmc_plugin.datasets.transforms import RegionViews

CROP = dict(type='mmpretrain.ViewCrop', size=64, scale=(0.3, 1.0))


def coordinates() -> np.ndarray:
    """An image (200, 240, 3) whose pixels tell their row and column."""
    rows, columns = np.mgrid[:200, :240]
    return np.stack([rows, columns, np.zeros_like(rows)], -1).astype(np.uint8)


@pytest.mark.parametrize('flips', [[0.0], [1.0], [0.5], [1.0, 1.0], [0.5, 0.5]])
@pytest.mark.parametrize('before', [{}, dict(flipped=True)])
def test_a_region_shows_the_same_pixels_in_both_views(flips, before):
    np.random.seed(0)
    views = [
        [CROP, *(dict(type='mmpretrain.ViewFlip', prob=flip) for flip in flips)],
        [CROP, dict(type='mmpretrain.ViewSolarize', prob=0.0)],
    ]
    transform = RegionViews(views, num_regions=3, patch_size=4)
    for _ in range(30):
        out = transform.transform(dict(img=coordinates(), **before))
        assert out['regions'].shape == (2, 3, 4) and out['regions'].dtype == np.float32
        for boxes in zip(*out['regions'], strict=True):
            means = []
            for image, box in zip(out['img'], boxes, strict=True):
                assert (box > -0.01).all() and (box < 64.01).all()
                left, top, right, bottom = (round(float(each)) for each in box)
                shown = image[top:bottom, left:right, :2].reshape(-1, 2)
                means.append(shown.astype(float).mean(0))
            # Rounding to pixels moves an edge by at most half a pixel, of up to 4 in the image.
            assert np.abs(means[0] - means[1]).max() < 4


def test_the_mask_is_of_whole_patches_on_the_first_region_of_the_first_view():
    np.random.seed(0)
    transform = RegionViews([[CROP], [CROP]], num_regions=2, patch_size=4)
    for _ in range(20):
        out = transform.transform(dict(img=coordinates()))
        assert out['mask'].shape == (2, 64, 64) and not out['mask'][1].any()
        rows, columns = np.nonzero(out['mask'][0])
        box = np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
        assert out['mask'][0].sum() == (box[2] - box[0]) * (box[3] - box[1])
        assert (box % 4 == 0).all() and np.abs(box - out['regions'][0, 0]).max() <= 2.01


def test_views_that_share_nothing_are_replaced():
    tiny = dict(type='mmpretrain.ViewCrop', size=64, scale=(0.001, 0.001))
    np.random.seed(0)
    out = RegionViews([[tiny], [tiny]], patch_size=4).transform(dict(img=coordinates()))
    np.testing.assert_allclose(*out['regions'], atol=1e-4)  # both views show one box
    np.testing.assert_array_equal(*out['img'])


@pytest.mark.parametrize(
    'options, sentence',
    [
        (dict(num_regions=0), 'num_regions must be a whole number of at least 1 but is 0'),
        (dict(patch_size=0), 'patch_size must be a whole number of at least 1 but is 0'),
        (dict(min_overlap=1.5), r'min_overlap must lie in \[0, 1\] but is 1.5'),
        *(
            (dict(side=side), r'RegionViews.side must be a pair \(smallest, largest\)')
            for side in ((0.0, 0.5), 0.5, ('a', 'b'), (0.5,))
        ),
        (dict(side=(0.1, 0.5), patch_size=16), 'regions of 1.9 pixels, smaller than a patch of 16'),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(options, sentence):
    with pytest.raises(ValueError, match=sentence):
        RegionViews([[CROP], [CROP]], **options).transform(dict(img=coordinates()))


def test_views_without_a_crop_are_refused_in_a_sentence():
    flip = dict(type='mmpretrain.ViewFlip')
    for steps in ([], [flip], [flip, CROP]):
        with pytest.raises(ValueError, match='RegionViews.transforms: each view must begin with'):
            RegionViews([[CROP], steps])


def test_what_moves_pixels_unseen_is_refused_in_a_sentence():
    for step in (dict(type='RandomFlip', prob=1.0), CROP):
        with pytest.raises(ValueError, match='cannot be followed through .*: put nothing but'):
            RegionViews([[CROP, step], [CROP]])


@pytest.mark.parametrize('views', [[[CROP]], [[CROP]] * 3])
def test_other_than_two_views_are_refused_in_a_sentence(views):
    with pytest.raises(ValueError, match=f'of the two views, .* but has {len(views)} in it'):
        RegionViews(views)
