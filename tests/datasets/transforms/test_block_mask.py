"""Masks of whole patches: how much they cover, and what is refused."""

import numpy as np
import pytest

from mmc_plugin.datasets.transforms import BlockMask, PatchDrop, sample_cells

VIEWS = dict(img=[np.zeros((224, 224, 3), np.uint8)] * 2)


@pytest.mark.parametrize(
    'ratio, cover', [(0.1, 0.0895), (0.2, 0.195), (0.3, 0.292), (0.4, 0.395), (0.5, 0.498)]
)
def test_blocks_cover_what_those_of_the_release_cover_and_never_overshoot(ratio, cover):
    rng = np.random.RandomState(0)
    covers = [sample_cells(14, 14, ratio, rng=rng).mean() for _ in range(1000)]
    assert np.mean(covers) == pytest.approx(cover, abs=0.002)
    assert max(covers) <= ratio


def test_half_of_the_views_are_whole_and_the_others_lose_whole_patches():
    np.random.seed(0)
    masks = np.concatenate([BlockMask().transform(dict(VIEWS))['mask'] for _ in range(500)])
    cells = masks.reshape(-1, 14, 16, 14, 16)
    assert (cells.all((2, 4)) == cells.any((2, 4))).all()
    covers = masks.mean((1, 2))
    assert (covers == 0).mean() == pytest.approx(0.5, abs=0.05)
    assert covers[covers > 0].mean() == pytest.approx(0.292, abs=0.01)
    assert covers.mean() == pytest.approx(0.148, abs=0.015)


def test_single_cells_are_as_many_as_asked_for_and_everywhere():
    rng = np.random.RandomState(0)
    masks = np.stack([sample_cells(14, 14, 0.3, 'random', rng) for _ in range(2000)])
    assert set(masks.sum((1, 2))) == {int(0.3 * 196)}
    assert np.abs(masks.mean(0) - 58 / 196).max() < 0.05


def test_patches_that_are_left_are_different_ones_and_of_the_releases_number():
    np.random.seed(0)
    keep = PatchDrop(ratio=0.15).transform(dict(VIEWS))['keep']
    assert keep.shape == (2, 166) and keep.dtype == np.int64
    assert all(len(set(each)) == 166 and 0 <= min(each) <= max(each) < 196 for each in keep)
    assert not np.array_equal(*keep)


@pytest.mark.parametrize(
    'build, sentence',
    [
        (lambda: BlockMask(shape='round'), "shape='block' or 'random'"),
        (lambda: BlockMask(ratios=[(0.5, 0.1)]), r'ratios must be a pair .* within \[0, 1\]'),
        (lambda: BlockMask(ratios=[('a', 'b')]), r'ratios must be a pair .* within \[0, 1\]'),
        (lambda: BlockMask(ratios=[0.5]), r'ratios must be a pair .* within \[0, 1\]'),
        (lambda: BlockMask(ratios=0.5), r'ratios is a list of pairs \(low, high\), not 0.5'),
        (lambda: PatchDrop(ratio=1.0), r'ratio in \[0, 1\)'),
        (lambda: BlockMask(patch_size=14).transform(
            dict(img=[np.zeros((224, 220, 3), np.uint8)] * 2)), 'no multiple of patch_size=14'),
        (lambda: PatchDrop(num_views=3).transform(dict(VIEWS)), 'num_views=3 images'),
        (lambda: PatchDrop(patch_size=224, ratio=0.5).transform(dict(VIEWS)), 'leaves none of 1'),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_in_a_sentence(build, sentence):
    with pytest.raises(ValueError, match=sentence):
        build()
