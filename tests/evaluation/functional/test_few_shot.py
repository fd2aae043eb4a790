import numpy as np
import pytest
import torch
from sklearn.metrics import f1_score
from sklearn.neighbors import KNeighborsClassifier

from mmc_plugin.evaluation.functional import few_shot
from mmc_plugin.evaluation.functional.few_shot import (
    draw_episodes,
    episode_scores,
    mean_and_interval,
    nearest_accuracy,
    threshold_f1,
)

LABELS = [*([3] * 6), *([1] * 9), *([7] * 5), *([0] * 2), *([4] * 8)]


def features(seed=0):
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(8, 5))
    return torch.from_numpy(centres[LABELS] + 0.8 * rng.normal(size=(len(LABELS), 5)))


def test_episodes_hold_different_classes_and_images_and_follow_the_seed():
    episodes = draw_episodes(LABELS, 200, ways=3, shots=2, queries=3, seed=1)
    assert episodes.shape == (200, 3, 5)
    for episode in episodes:
        labels = np.array(LABELS)[episode]
        assert (labels == labels[:, :1]).all() and len(set(labels[:, 0])) == 3
        assert len(np.unique(episode)) == 15
    drawn = np.array(LABELS)[episodes]
    assert set(drawn.flatten()) == {1, 3, 4, 7}  # class 0 has two images only
    assert len(np.unique(episodes)) == len(LABELS) - 2  # and of the others every image is drawn
    assert (episodes == draw_episodes(LABELS, 200, 3, 2, 3, 1)).all()
    assert (episodes != draw_episodes(LABELS, 200, 3, 2, 3, 2)).any()


@pytest.mark.parametrize('shots', [1, 2])
@pytest.mark.parametrize('elements', [2**24, 1])
def test_equal_scikit_learn(shots, elements, monkeypatch):
    monkeypatch.setattr(few_shot, '_BLOCK_ELEMENTS', elements)
    feats, ways, queries = features(), 3, 3
    episodes = draw_episodes(LABELS, 30, ways, shots, queries, seed=0)
    scores = episode_scores(feats, torch.from_numpy(episodes), shots)
    assert scores.shape == (30, ways, queries, ways)
    thresholds = torch.linspace(0.1, 0.9, 9)
    accuracy, f1 = nearest_accuracy(scores), threshold_f1(scores, thresholds)
    unit = (feats / feats.norm(dim=1, keepdim=True)).numpy()
    for e, episode in enumerate(episodes):
        classes = np.arange(ways)
        support, query = unit[episode[:, :shots]], unit[episode[:, shots:]]
        near = KNeighborsClassifier(1, metric='cosine')
        near.fit(support.reshape(-1, 5), classes.repeat(shots))
        truth = classes.repeat(queries)
        assert accuracy[e] == pytest.approx(near.score(query.reshape(-1, 5), truth))
        cosine = np.einsum('aqd,bsd->aqbs', query, support).max(-1).reshape(-1, ways)
        same = truth[:, None] == classes
        for t, threshold in enumerate(thresholds):
            expected = f1_score(same.ravel(), (cosine > threshold.item()).ravel(), zero_division=0)
            assert f1[e, t] == pytest.approx(expected)


def test_interval_of_a_known_spread():
    mean, half = mean_and_interval(torch.tensor([[0.0, 1.0], [0.0, 1.0]]))
    assert mean == 0.5 and half == pytest.approx(1.96 * (1 / 3) ** 0.5 / 2)
    assert np.isnan(mean_and_interval(torch.ones(1))[1])


def test_too_few_images_get_a_sentence():
    with pytest.raises(ValueError, match='5 classes with 1 . 5 images .* only 3 of 5 classes'):
        draw_episodes(LABELS, 1, 5, 1, 5, 0)
