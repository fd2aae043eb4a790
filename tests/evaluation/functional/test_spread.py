import numpy as np
import pytest
import torch

from mmc_plugin.evaluation.functional.spread import effective_rank, feature_spread


def test_spread_of_isotropic_features_is_one():
    feats = torch.randn(20000, 64, generator=torch.Generator().manual_seed(0))
    assert feature_spread(feats) == pytest.approx(1, abs=0.01)
    # the corners of the cross-polytope: each direction and its opposite
    assert feature_spread(torch.cat([torch.eye(8), -torch.eye(8)])) == pytest.approx(1)


def test_spread_of_collapsed_features_is_zero():
    direction = torch.randn(1, 16, generator=torch.Generator().manual_seed(0))
    lengths = torch.rand(50, 1, generator=torch.Generator().manual_seed(1)) + 0.5
    assert feature_spread(direction * lengths) == pytest.approx(0, abs=1e-6)


def test_spread_equals_numpy():
    feats = np.random.default_rng(0).normal(1, 2, size=(40, 9))
    unit = feats / np.linalg.norm(feats, axis=1, keepdims=True)
    assert feature_spread(torch.from_numpy(feats)) == pytest.approx(unit.std(0).mean() * 3)


@pytest.mark.parametrize('shape', [(50, 12), (12, 50), (7, 7), (1, 5)])
def test_effective_rank_equals_numpy_svd(shape):
    feats = np.random.default_rng(1).normal(size=shape) * np.linspace(0.01, 3, shape[1])
    share = np.linalg.svd(feats, compute_uv=False)
    share = share / share.sum()
    expected = np.exp(-(share * np.log(share)).sum())
    assert effective_rank(torch.from_numpy(feats)) == pytest.approx(expected, rel=1e-9)


def test_effective_rank_closed_forms():
    assert effective_rank(torch.eye(6)) == pytest.approx(6)
    assert effective_rank(torch.ones(30, 8)) == pytest.approx(1, abs=1e-5)
    assert effective_rank(torch.zeros(3, 8)) == 0
    # singular values 3 and 1: entropy of (3/4, 1/4)
    assert effective_rank(torch.diag(torch.tensor([3.0, 1.0]))) == pytest.approx(
        np.exp(-0.75 * np.log(0.75) - 0.25 * np.log(0.25))
    )


@pytest.mark.parametrize('function', [feature_spread, effective_rank])
def test_refuses_what_is_no_matrix(function):
    for shape in [(3,), (0, 4), (2, 3, 4)]:
        with pytest.raises(ValueError, match='shape'):
            function(torch.zeros(shape))
