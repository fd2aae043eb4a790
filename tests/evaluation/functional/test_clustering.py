import numpy as np
import pytest
import torch
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.metrics import adjusted_rand_score

from mmc_plugin.evaluation.functional import clustering
from mmc_plugin.evaluation.functional.clustering import _plus_plus, kmeans, pca_rgb


def blobs(seed=0, spread=0.8):
    generator = torch.Generator().manual_seed(seed)
    centres = torch.randn(4, 6, generator=generator) * 3
    label = torch.randint(4, (240,), generator=generator)
    return centres[label] + spread * torch.randn(240, 6, generator=generator), label


@pytest.mark.parametrize('seed', range(3))
def test_kmeans_finds_what_sklearn_finds(seed, monkeypatch):
    monkeypatch.setattr(clustering, '_STARTS', 10)  # as many as sklearn has below
    features, _ = blobs(seed, spread=1.5)
    labels, centres, inertia = kmeans(features, 4)
    other = KMeans(4, n_init=10, random_state=0).fit(features.numpy())
    assert inertia == pytest.approx(other.inertia_, rel=1e-3)
    assert adjusted_rand_score(other.labels_, labels) > 0.97
    sizes = np.bincount(labels, minlength=4)
    assert (np.diff(sizes) <= 0).all()  # numbered by falling size
    torch.testing.assert_close(centres[2], features[labels == 2].mean(0), atol=1e-4, rtol=0)


def test_kmeans_repeats_itself_and_survives_equal_features():
    features, _ = blobs()
    assert torch.equal(kmeans(features, 5)[0], kmeans(features, 5)[0])
    labels, centres, inertia = kmeans(torch.ones(10, 3), 3)
    assert inertia == 0 and centres.shape == (3, 3) and (labels < 3).all()
    spots = torch.tensor([[0.0], [1.0], [5.0]]).repeat(4, 1)
    assert kmeans(spots, 3)[2] == 0


@pytest.mark.parametrize('seed', range(4))
def test_starts_are_drawn_far_from_each_other(seed):
    crowd = torch.randn(200, 2, generator=torch.Generator().manual_seed(seed)) * 1e-3
    features = torch.cat([crowd, torch.tensor([[1e3, 0.0], [0.0, 1e3]])])
    starts = _plus_plus(features, 3, torch.Generator().manual_seed(seed))
    assert sorted((starts > 500).int().tolist()) == [[0, 0], [0, 1], [1, 0]]


def test_kmeans_refuses_in_a_sentence():
    with pytest.raises(ValueError, match='between 1 and 4 clusters .* got 5'):
        kmeans(torch.ones(4, 2), 5)
    with pytest.raises(ValueError, match='not finite'):
        kmeans(torch.tensor([[1.0], [float('nan')]]), 1)


def test_colours_are_the_first_three_principal_components():
    features, _ = blobs()
    colours = pca_rgb(features.view(12, 20, 6))
    assert colours.shape == (12, 20, 3)
    model = PCA(3)
    expected = model.fit_transform(features.numpy())
    for k in range(3):
        weights = model.components_[k]
        values = expected[:, k] * np.sign(weights[np.abs(weights).argmax()])
        low, high = np.quantile(values, [0.01, 0.99])
        scaled = ((values - low) / (high - low)).clip(0, 1)
        np.testing.assert_allclose(colours.view(-1, 3)[:, k], scaled, atol=1e-4)


def test_colours_of_poor_features_are_grey():
    line = torch.arange(10.0)[:, None] * torch.tensor([[1.0, 2.0, 0.0, -1.0]])
    colours = pca_rgb(line)
    assert colours[:, 0].std() > 0.1 and (colours[:, 1:] == 0.5).all()
    assert (pca_rgb(torch.ones(6, 2)) == 0.5).all()
