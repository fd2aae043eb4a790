import numpy as np
import pytest
import torch

from mmc_plugin.evaluation.functional.spectral_cut import fiedler_vector, spectral_objects


def one_hot(labels):
    return torch.eye(int(labels.max()) + 1)[labels]


def scene():
    """Ground, a large object and a small one on 12 × 16 patches."""
    labels = torch.zeros(12, 16, dtype=torch.long)
    labels[2:8, 2:7] = 1
    labels[8:11, 11:14] = 2
    return labels


@pytest.mark.parametrize('seed', range(3))
def test_the_vector_is_numpys(seed):
    rng = np.random.default_rng(seed)
    affinity = rng.random((30, 30)) ** 4
    affinity = affinity + affinity.T + 1e-3
    degree = affinity.sum(1)
    values, vectors = np.linalg.eig((np.diag(degree) - affinity) / degree[:, None])
    expected = vectors[:, np.argsort(values.real)[1]].real
    expected /= np.linalg.norm(expected)
    found = fiedler_vector(affinity)
    assert found.max() >= -found.min()
    np.testing.assert_allclose(abs(found @ expected), 1, atol=1e-8)
    np.testing.assert_allclose(np.linalg.norm(found), 1)


def test_objects_are_found_one_after_the_other():
    labels = scene()
    tokens = one_hot(labels) + 0.01 * torch.randn(12, 16, 3, generator=torch.manual_seed(0))
    found = spectral_objects(tokens, 3)
    assert found.dtype == torch.bool and 2 <= len(found) <= 3
    wanted = {tuple((labels == i).flatten().tolist()) for i in (1, 2)}
    assert {tuple(each.flatten().tolist()) for each in found[:2]} == wanted
    assert torch.equal(spectral_objects(tokens, 1), found[:1])
    # What makes all cosines high leaves the objects as they are.
    for more in (1, 50):
        high = spectral_objects(tokens + more, 2)
        assert {tuple(each.flatten().tolist()) for each in high} == wanted
    # A threshold of one's own: none of these cosines is above it but the ground's and objects' own.
    assert {tuple(each.flatten().tolist()) for each in spectral_objects(tokens, 2, 0.9)} == wanted
    assert len(spectral_objects(tokens + 50, 2, 0.9)) == 0


def test_the_side_with_more_corners_is_the_ground():
    """By the largest entry alone these are the ground, or either side."""
    wide, corner = (torch.zeros(12, 16, dtype=torch.long) for _ in range(2))
    wide[3:9, 1:15] = 1
    corner[2:, 3:] = 1  # touches one corner
    for labels in (wide, corner):
        assert torch.equal(spectral_objects(one_hot(labels), 1)[0], labels == 1)


@pytest.mark.parametrize('seed', range(5))
def test_an_object_along_a_whole_side_is_kept(seed):
    labels = torch.zeros(12, 12, dtype=torch.long)
    labels[8:] = 1
    noise = 0.1 * torch.randn(12, 12, 2, generator=torch.manual_seed(seed))
    (found,) = spectral_objects(one_hot(labels) + noise, 1)
    assert torch.equal(found, labels == 1)


def test_what_cannot_be_cut_gives_nothing():
    assert spectral_objects(torch.ones(4, 5, 3)).shape == (0, 4, 5)
    assert spectral_objects(torch.eye(20).view(4, 5, 20)).shape == (0, 4, 5)
    assert spectral_objects(torch.eye(2).view(1, 2, 2)).shape == (0, 1, 2)
    with pytest.raises(ValueError, match='number of objects must be positive, got 0'):
        spectral_objects(torch.ones(4, 5, 3), 0)
    for threshold in (1.0, -2.0, float('nan'), 'otsu', [0.2], False):
        with pytest.raises(ValueError, match='must be a cosine between -1 and 1'):
            spectral_objects(torch.ones(4, 5, 3), 1, threshold)
    with pytest.raises(ValueError, match='NaN or infinity cannot be cut'):
        spectral_objects(torch.full((4, 5, 3), float('nan')))
