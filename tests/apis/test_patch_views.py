import numpy as np
import pytest
import torch
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA

from mmc_plugin.apis import patch_clusters, patch_colours


def grid(seed=0):
    """Tokens of three directions and many lengths, (6, 8, 5), and which direction each has."""
    rng = np.random.default_rng(seed)
    kinds = rng.choice(3, (6, 8), p=(0.5, 0.3, 0.2))
    tokens = np.eye(5)[kinds] + 0.05 * rng.normal(size=(6, 8, 5))
    return torch.from_numpy(tokens * rng.uniform(0.2, 9, (6, 8, 1))), kinds


def unit(tokens):
    flat = tokens.double().flatten(0, 1).numpy()
    return flat / np.linalg.norm(flat, axis=1, keepdims=True)


def test_clusters_are_those_of_sklearn_on_tokens_of_length_one():
    tokens, kinds = grid()
    found = patch_clusters(tokens, 3)
    assert found.shape == (6, 8) and found.dtype == np.int64
    expected = KMeans(3, n_init=20, random_state=0).fit_predict(unit(tokens)).reshape(6, 8)
    same = found.ravel()[:, None] == found.ravel()
    assert np.array_equal(same, expected.ravel()[:, None] == expected.ravel())
    assert np.array_equal(same, kinds.ravel()[:, None] == kinds.ravel())
    assert np.all(np.diff(np.bincount(found.ravel())) <= 0)  # the largest is 0
    with pytest.raises(ValueError, match='between 1 and 48 clusters'):
        patch_clusters(tokens, 49)


def test_colours_are_the_first_principal_components_of_tokens_of_length_one():
    tokens, _ = grid(1)
    found = patch_colours(tokens)
    assert found.shape == (6, 8, 3) and found.dtype == np.float32
    assert 0 <= found.min() and found.max() <= 1
    expected = PCA(3).fit_transform(unit(tokens))
    for channel in range(3):
        values, own = expected[:, channel], found[..., channel].ravel()
        inner = (own > 0) & (own < 1)  # the others are cut
        assert inner.sum() >= 0.9 * len(own)
        assert abs(np.corrcoef(values[inner], own[inner])[0, 1]) > 1 - 1e-5
