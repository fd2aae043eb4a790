import numpy as np
import pytest
import torch

from mmc_plugin.evaluation.functional.variance import RunningVariance


@pytest.mark.parametrize('sizes', [[7], [1] * 7, [3, 1, 3], [2, 5]])
@pytest.mark.parametrize('offset', [0, 1e6])
def test_equals_numpy_on_all_of_it(sizes, offset):
    values = np.random.default_rng(0).normal(size=(7, 4, 3)) + offset
    running = RunningVariance()
    for batch in np.split(values, np.cumsum(sizes)[:-1]):
        running.update(torch.from_numpy(batch))
    np.testing.assert_allclose(running.variance.numpy(), values.var(0), rtol=1e-7)
    np.testing.assert_allclose(running.mean.numpy(), values.mean(0), rtol=1e-12)
    assert running.count == 7


def test_floats_with_a_large_mean_lose_nothing():
    values = torch.arange(64.0)[:, None] + 2.0**20  # exact in float32
    running = RunningVariance()
    for batch in values.split(5):
        running.update(batch)
    assert running.variance.item() == pytest.approx((64**2 - 1) / 12)


def test_of_nothing_there_is_none():
    with pytest.raises(ValueError, match=r'call update\(\) first'):
        _ = RunningVariance().variance
