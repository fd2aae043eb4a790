import numpy as np
import pytest
import torch
from sklearn.neighbors import KNeighborsClassifier

from mmc_plugin.evaluation.functional import knn
from mmc_plugin.evaluation.functional.knn import knn_accuracy, knn_predict


def data(num_train=60, num_test=23, width=7, classes=5, seed=0):
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(classes, width))
    train_labels, test_labels = (rng.integers(0, classes, n) for n in (num_train, num_test))
    train = centres[train_labels] + rng.normal(size=(num_train, width))
    test = centres[test_labels] + rng.normal(size=(num_test, width))
    return [torch.from_numpy(each) for each in (train, train_labels, test, test_labels)]


def slow(train, train_labels, test, k, temperature):
    out = []
    for row in test.numpy():
        row = row / np.linalg.norm(row)
        found = []
        for other, label in zip(train.numpy(), train_labels.tolist(), strict=True):
            found.append((float(row @ other / np.linalg.norm(other)), label))
        votes = {}
        for similarity, label in sorted(found, reverse=True)[:k]:
            votes[label] = votes.get(label, 0.0) + np.exp(similarity / temperature)
        out.append(max(votes, key=votes.get))
    return out


@pytest.mark.parametrize('elements', [2**24, 1, 5 * 5, 100 * 5])
@pytest.mark.parametrize('temperature', [0.07, 1.0])
def test_equals_a_slow_loop(elements, temperature, monkeypatch):
    monkeypatch.setattr(knn, '_BLOCK_ELEMENTS', elements)
    train, train_labels, test, _ = data()
    predicted = knn_predict(train, train_labels, test, (1, 4, 10, 60), temperature)
    assert list(predicted) == [1, 4, 10, 60]
    for k, each in predicted.items():
        assert each.tolist() == slow(train, train_labels, test, k, temperature)


@pytest.mark.parametrize('k', [1, 5, 20])
def test_equals_scikit_learn(k):
    train, train_labels, test, test_labels = data(num_train=200, num_test=80, seed=1)
    reference = KNeighborsClassifier(
        k, weights=lambda distance: np.exp((1 - distance) / 0.07), metric='cosine'
    )
    reference.fit(train.numpy(), train_labels.numpy())
    predicted = knn_predict(train, train_labels, test, (k,))[k]
    assert predicted.tolist() == reference.predict(test.numpy()).tolist()
    accuracy = knn_accuracy(train, train_labels, test, test_labels, (k,))[k]
    assert accuracy == pytest.approx(
        100 * reference.score(test.numpy(), test_labels.numpy()), abs=1e-4
    )


def test_nearer_neighbour_outweighs_two_far_ones():
    train = torch.tensor([[1.0, 0.0], [0.6, 0.8], [0.6, -0.8]])
    labels, test = torch.tensor([0, 1, 1]), torch.tensor([[2.0, 0.0]])
    assert knn_predict(train, labels, test, (3,), temperature=0.07)[3].item() == 0
    assert knn_predict(train, labels, test, (3,), temperature=1e3)[3].item() == 1


def test_small_temperature_does_not_overflow():
    train, train_labels, test, _ = data()
    predicted = knn_predict(train.float(), train_labels, test.float(), (1, 10), temperature=1e-3)
    assert predicted[10].tolist() == slow(train, train_labels, test, 1, 0.07)


def test_refuses_in_a_sentence():
    train, train_labels, test, test_labels = data()
    with pytest.raises(ValueError, match='only 60 training features; choose a smaller k'):
        knn_predict(train, train_labels, test, (10, 61))
    with pytest.raises(ValueError, match='one width D'):
        knn_predict(train, train_labels, test[:, :3])
    with pytest.raises(ValueError, match='one label for each of the 60 training'):
        knn_predict(train, train_labels[:4], test)
    with pytest.raises(ValueError, match='positive'):
        knn_predict(train, train_labels, test, ())
    with pytest.raises(ValueError, match='one label for each of the 23 test'):
        knn_accuracy(train, train_labels, test, test_labels[1:])
