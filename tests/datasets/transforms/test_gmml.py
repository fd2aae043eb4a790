"""GMML masks against the method's coverage figures and a slow, obvious sampler."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mmpretrain.registry import TRANSFORMS
from scipy.ndimage import label

from mmc_plugin.datasets.transforms.gmml import GMMLMask, sample_block_mask

NOISE, ALIEN = 0.75, 0.30
PATCH = 16


def slow_mask(height, width, coverage, align, max_block, rng):
    """Pixel by pixel, one random number at a time, recounting the union after each block."""

    def span(size, origin_draw, length_draw):
        longest = int(max_block * size)
        pixels = align + int(length_draw * (longest - align)) if longest > align else align
        only_one_cell = all(round(x / align) <= 1 for x in range(align, longest))
        start = int(origin_draw * (size if only_one_cell else size - align)) // align * align
        length = round(min(pixels, size - start) / align) * align
        return range(start, start + length)

    low = min(0.5, coverage)
    target = (low + (coverage - low) * rng.random()) * height * width
    mask = np.zeros((height, width), dtype=bool)
    while mask.sum() < target:
        top, left, block_height, block_width = (rng.random() for _ in range(4))
        for row in span(height, top, block_height):
            for col in span(width, left, block_width):
                mask[row, col] = True
    return mask


@pytest.fixture(scope='module')
def draws():
    """1,200 masks at 224 x 224 of each kind."""
    masks = {}

    def get(coverage, align):
        key = (coverage, align)
        if key not in masks:
            rng = np.random.RandomState(0)
            masks[key] = np.stack(
                [sample_block_mask(224, 224, coverage, align, rng=rng) for _ in range(1200)]
            )
        return masks[key]

    return get


def patch_cover(masks):
    return masks.reshape(-1, 14, PATCH, 14, PATCH).mean((2, 4))


# The releases' sampler at 224 x 224. Tolerances are some four standard errors of 1,200 draws.
@pytest.mark.parametrize(
    'coverage, align, mean, lowest, highest, touched, filled, regions',
    [
        (NOISE, 16, 0.637, 0.505, 0.806, 0.637, 0.637, 2.3),
        (ALIEN, 16, 0.315, 0.301, 0.378, 0.315, 0.315, 4.8),
        (NOISE, 1, 0.635, 0.501, 0.782, 0.864, 0.353, 5.2),
        (ALIEN, 1, 0.314, 0.300, 0.372, 0.547, 0.130, 9.3),
    ],
)
def test_coverage_figures(draws, coverage, align, mean, lowest, highest, touched, filled, regions):
    masks = draws(coverage, align)
    cover = masks.mean((1, 2))
    assert cover.mean() == pytest.approx(mean, abs=0.009 if coverage == NOISE else 0.002)
    # The lower end is the smallest target that whole cells can reach; overshoot has a thin tail.
    assert cover.min() == pytest.approx(lowest, abs=0.006)
    assert cover.max() == pytest.approx(highest, abs=0.03)
    patches = patch_cover(masks)
    assert (patches > 0).mean() == pytest.approx(touched, abs=0.010)
    assert (patches == 1).mean() == pytest.approx(filled, abs=0.010)
    found = np.mean([label(mask)[1] for mask in masks])
    assert found == pytest.approx(regions, abs=0.3)
    if align == PATCH:
        assert set(np.unique(patches)) == {0, 1}


def test_rule_avoids_the_top_left_patch(draws):
    per_patch = patch_cover(draws(NOISE, 16)).mean(0)
    # 20,000 draws give .180 and .73; the standard error here is .011 for a single patch.
    assert per_patch[0, 0] == pytest.approx(0.17, abs=0.05)
    assert per_patch[5:9, 5:9].mean() == pytest.approx(0.73, abs=0.03)
    assert per_patch.min() == per_patch[0, 0]


@pytest.mark.parametrize(
    'height, width, align, max_block',
    [
        (32, 48, 8, 0.5),
        (40, 24, 1, 0.3),
        (64, 64, 8, 0.3),
        (48, 48, 16, 0.3),  # no block longer than one cell
        (16, 64, 16, 0.9),  # one row of cells
        (30, 60, 6, 1.0),
    ],
)
def test_equals_the_slow_sampler(height, width, align, max_block):
    for seed in range(8):
        for coverage in (NOISE, ALIEN):
            fast = sample_block_mask(
                height, width, coverage, align, max_block, rng=np.random.RandomState(seed)
            )
            slow = slow_mask(height, width, coverage, align, max_block, np.random.RandomState(seed))
            np.testing.assert_array_equal(fast, slow)


@settings(max_examples=150, deadline=None)
@given(
    rows=st.integers(1, 12),
    cols=st.integers(1, 12),
    align=st.sampled_from([1, 3, 8, 16]),
    coverage=st.floats(0.01, 0.95),
    max_block=st.floats(0.01, 1),
    seed=st.integers(0, 2**32 - 1),
)
def test_any_size(rows, cols, align, coverage, max_block, seed):
    mask = sample_block_mask(
        rows * align,
        cols * align,
        coverage,
        align,
        max_block,
        rng=np.random.default_rng(seed),
    )
    assert mask.shape == (rows * align, cols * align) and mask.dtype == np.bool_
    assert mask.any()
    assert mask.mean() >= min(0.5, coverage) - 1e-9
    cells = mask.reshape(rows, align, cols, align).mean((1, 3))
    assert np.isin(cells, (0, 1)).all()


def views(count=2, height=224, width=224):
    return {'img': [np.zeros((height, width, 3), np.uint8) for _ in range(count)]}


def test_transform_follows_numpys_seed():
    transform = TRANSFORMS.build({'type': 'GMMLMask', 'align': 16})
    assert isinstance(transform, GMMLMask)
    outcomes = []
    for seed in (3, 3, 4):
        np.random.seed(seed)
        outcomes.append(transform(views()))
    first, again, other = outcomes
    assert first['mask'].shape == (2, 224, 224) and first['mask'].dtype == np.bool_
    assert first['alien'].shape == (2,) and first['alien'].dtype == np.bool_
    np.testing.assert_array_equal(first['mask'], again['mask'])
    np.testing.assert_array_equal(first['alien'], again['alien'])
    assert (first['mask'] != other['mask']).any()
    assert (first['mask'][0] != first['mask'][1]).any()


def test_transform_draws_each_view_apart():
    transform = GMMLMask(num_views=2, align=8)
    np.random.seed(0)
    results = [transform(views(height=64, width=96)) for _ in range(1000)]
    mask = np.stack([r['mask'] for r in results])
    alien = np.stack([r['alien'] for r in results])
    assert mask.any((2, 3)).all()  # never an untouched view
    # Four outcomes of two fair coins, .25 each; the standard error is .014.
    pairs = np.bincount(alien @ [2, 1], minlength=4) / len(alien)
    np.testing.assert_allclose(pairs, 0.25, atol=0.06)
    cover = mask.mean((2, 3))
    assert cover[alien].min() >= 0.3 and cover[alien].mean() < 0.4
    assert cover[~alien].min() >= 0.5 and cover[~alien].mean() == pytest.approx(0.64, abs=0.02)


@pytest.mark.parametrize('prob', [0, 1])
def test_coin_and_ratios_are_keys(prob):
    transform = GMMLMask(
        num_views=1,
        alien_prob=prob,
        noise_ratio=0.2,
        alien_ratio=0.4,
        align=4,
        max_block=0.1,
    )
    np.random.seed(0)
    results = [transform(views(3, 80, 80)) for _ in range(50)]  # two local crops stay as they are
    assert {bool(r['alien'][0]) for r in results} == {bool(prob)}
    assert results[0]['mask'].shape == (1, 80, 80)
    cover = np.mean([r['mask'].mean() for r in results])
    assert cover == pytest.approx(0.4 if prob else 0.2, abs=0.01)
    assert 'alien_ratio=0.4' in repr(transform)


@pytest.mark.parametrize(
    'key, value, sentence',
    [
        ('num_views', 0, 'num_views must be a whole number of at least 1 but is 0'),
        ('noise_ratio', 0, r'noise_ratio must lie in \(0, 1\] but is 0'),
        ('noise_ratio', 75, r'noise_ratio must lie in \(0, 1\] but is 75'),
        ('alien_ratio', 1.5, r'alien_ratio must lie in \(0, 1\] but is 1.5'),
        ('alien_ratio', float('nan'), r'alien_ratio must lie in \(0, 1\] but is nan'),
        ('alien_prob', -0.1, r'alien_prob must lie in \[0, 1\] but is -0.1'),
        ('align', 2.5, 'align must be a whole number of at least 1 but is 2.5'),
        ('align', True, 'align must be a whole number of at least 1 but is True'),
        ('max_block', '0.3', r"max_block must lie in \(0, 1\] but is '0.3'"),
    ],
)
def test_arguments_are_refused_in_a_sentence(key, value, sentence):
    with pytest.raises(ValueError, match=sentence):
        GMMLMask(**{key: value})


def test_sizes_are_refused_in_a_sentence():
    with pytest.raises(ValueError, match='224x230 is not a multiple of align=16'):
        sample_block_mask(224, 230, NOISE, 16)
    with pytest.raises(ValueError, match='height must be a whole number of at least 1 but is 0'):
        sample_block_mask(0, 224, NOISE, 16)
    with pytest.raises(ValueError, match=r'coverage must lie in \(0, 1\] but is 0'):
        sample_block_mask(224, 224, 0, 16)
    with pytest.raises(ValueError, match='100x224 is not a multiple of align=16'):
        GMMLMask()(views(height=100))
    with pytest.raises(ValueError, match='num_views=2 images .* found 1 of them'):
        GMMLMask()(views(1))
    with pytest.raises(ValueError, match='found one image'):
        GMMLMask()({'img': views(1)['img'][0]})
    with pytest.raises(ValueError, match='one size but found 224x224 and 96x96'):
        GMMLMask()({'img': views(1)['img'] + views(1, 96, 96)['img']})
