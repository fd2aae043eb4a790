"""Average precision against scikit-learn."""

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score, precision_recall_curve

from mmc_plugin.evaluation.functional import average_precision


@pytest.mark.parametrize('levels', [3, 20, 10**6], ids=['many ties', 'some', 'hardly any'])
def test_scores_and_curves_are_those_of_scikit_learn(levels):
    rng = np.random.default_rng(levels)
    similarity = rng.integers(0, levels, (40, 57)).astype(np.float32) / levels
    relevant = rng.random((40, 57)) < rng.uniform(0.02, 0.9, (40, 1))
    relevant[0], relevant[1] = True, False
    relevant[2:, 5] = True
    recalls = torch.linspace(0.01, 1, 23, dtype=torch.float64)
    score, curve = average_precision(*map(torch.from_numpy, (similarity, relevant)), recalls)
    assert score[1].isnan() and curve[1].isnan().all()
    for i in (0, *range(2, 40)):
        expected = average_precision_score(relevant[i], similarity[i])
        assert score[i].item() == pytest.approx(expected, abs=1e-12)
        precision, recall, _ = precision_recall_curve(relevant[i], similarity[i])
        slow = [precision[:-1][recall[:-1] >= r - 1e-12].max() for r in recalls.tolist()]
        assert curve[i].tolist() == pytest.approx(slow, abs=1e-12)


def test_one_hot_features_score_one_and_equal_ones_the_share_of_the_class():
    labels = torch.tensor([0, 1, 1, 2, 2, 2])
    relevant = labels[:, None] == labels
    recalls = torch.tensor([0.5, 1.0])
    score, curve = average_precision(relevant.float(), relevant, recalls)
    assert score.eq(1).all() and curve.eq(1).all()
    score, curve = average_precision(torch.zeros(6, 6), relevant, recalls)
    torch.testing.assert_close(score, relevant.double().mean(1))
    torch.testing.assert_close(curve, score[:, None].expand(6, 2))


def test_other_shapes_get_a_sentence():
    with pytest.raises(ValueError, match=r'need one shape \(M, N\)'):
        average_precision(torch.zeros(2, 3), torch.zeros(3, 2, dtype=torch.bool), torch.ones(1))
