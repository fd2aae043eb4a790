import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.spatial.distance import cosine
from scipy.stats import norm

from mmc_plugin.evaluation.functional import pair_statistics as module
from mmc_plugin.evaluation.functional.pair_statistics import (
    histogram_overlap,
    pair_histograms,
    patch_labels,
)


def pairs(tokens, labels, include_background):
    """Cosines of pairs, one by one."""
    found = [], []
    for i in range(len(labels)):
        for j in range(i):
            low = 0 if include_background else 1
            if labels[i] >= low and labels[j] >= low:
                found[int(labels[i] != labels[j])].append(
                    1 - cosine(tokens[i].double(), tokens[j].double())
                )
    return found


@pytest.mark.parametrize('at_once', [1, 100, 1 << 21])
@pytest.mark.parametrize('include_background', [False, True])
def test_histograms_and_sums_equal_a_loop_over_pairs(include_background, at_once, monkeypatch):
    monkeypatch.setattr(module, 'PAIRS_AT_ONCE', at_once)
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randn(40, 6, generator=generator)
    labels = torch.randint(-1, 3, (40,), generator=generator)
    histograms, sums = pair_histograms(tokens, labels, 200, include_background)
    expected = pairs(tokens, labels.tolist(), include_background)
    counted = np.stack([np.histogram(each, 200, (-1, 1))[0] for each in expected])
    # float32 may put a cosine into the neighbouring bin.
    assert np.abs(histograms.numpy().cumsum(1) - counted.cumsum(1)).max() <= 1
    assert histograms.sum(1).tolist() == [len(each) for each in expected]
    np.testing.assert_allclose(sums, [sum(each) for each in expected], atol=1e-4)
    overlap = np.minimum(*[each / each.sum() for each in counted]).sum()
    assert histogram_overlap(histograms).item() == pytest.approx(overlap, abs=0.01)


def test_overlap_approaches_that_of_the_densities():
    rng = np.random.default_rng(0)
    samples = rng.normal(-0.1, 0.15, 200_000), rng.normal(0.2, 0.15, 200_000)
    counts = np.stack([np.histogram(each, 200, (-1, 1))[0] for each in samples])
    expected = 2 * norm.cdf(-0.15 / 0.15)  # equal widths: the densities cross half way
    assert histogram_overlap(torch.from_numpy(counts)).item() == pytest.approx(expected, abs=0.01)


def test_one_hot_features_do_not_overlap_and_identical_ones_do_wholly():
    labels = torch.tensor([1, 1, 2, 2, 0, 3])
    histograms, sums = pair_histograms(F.one_hot(labels).float(), labels)
    assert histogram_overlap(histograms) == 0
    assert histograms.sum(1).tolist() == [2, 8] and sums.tolist() == [2, 0]
    same, _ = pair_histograms(torch.ones(6, 4), labels)
    assert histogram_overlap(same) == 1


def test_an_image_without_pairs_adds_nothing():
    histograms, sums = pair_histograms(torch.randn(4, 3), torch.tensor([0, 0, 0, 1]))
    assert histograms.sum() == 0 and sums.tolist() == [0, 0]
    assert histogram_overlap(histograms).isnan()


def test_patches_belong_to_what_covers_them_most():
    coverage = torch.tensor([[[0.6, 0.5, 0.1]], [[0.7, 0.4, 0.45]]])
    assert patch_labels(coverage).tolist() == [[2, 1, 0]]
