import numpy as np
import pytest
import torch

from mmc_plugin.evaluation.functional.retrieval import ranking_scores


def slow(similarity, relevant, junk, ranks):
    """One image after the other, as the definition says."""
    order = [i for i in np.argsort(-similarity, kind='stable') if not junk[i]]
    total = sum(relevant[i] for i in order)
    if not total:
        return float('nan'), [float('nan')] * len(ranks)
    found, area, last = 0, 0.0, 0
    for place, i in enumerate(order):
        if relevant[i]:
            before = found / place if place else 1.0
            found += 1
            area += (before + found / (place + 1)) / 2 / total
            last = place + 1
    depths = [min(rank, last) for rank in ranks]
    return area, [sum(relevant[i] for i in order[:depth]) / depth for depth in depths]


def test_a_ranking_by_hand():
    # Ranked: relevant, junk, wrong, relevant, junk, relevant, wrong. Without the junk:
    # R W R R W, so that precision goes 1 → 1/1; 1/2 → 2/3; 2/3 → 3/4.
    similarity = torch.tensor([[0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3]])
    relevant = torch.tensor([[1, 0, 0, 1, 0, 1, 0]]).bool()
    junk = torch.tensor([[0, 1, 0, 0, 1, 0, 0]]).bool()
    scores = ranking_scores(similarity, relevant, junk, (1, 2, 3, 10))
    expected = ((1 + 1) / 2 + (1 / 2 + 2 / 3) / 2 + (2 / 3 + 3 / 4) / 2) / 3
    assert scores.average_precision.item() == pytest.approx(expected)
    # The last relevant image is at 4, so that of ten images four count.
    assert scores.precision[0].tolist() == pytest.approx([1, 1 / 2, 2 / 3, 3 / 4])


def test_equals_a_slow_loop():
    rng = np.random.default_rng(0)
    similarity = rng.normal(size=(40, 30)).round(1)  # with ties
    relevant, junk = rng.random((40, 30)) < 0.2, rng.random((40, 30)) < 0.3
    relevant[3] = False
    scores = ranking_scores(*map(torch.from_numpy, (similarity, relevant, junk)), (1, 5, 10))
    for i in range(40):
        area, at = slow(similarity[i], relevant[i], junk[i], (1, 5, 10))
        assert scores.average_precision[i].item() == pytest.approx(area, nan_ok=True)
        assert scores.precision[i].tolist() == pytest.approx(at, nan_ok=True)
    kept = ~np.isnan(scores.average_precision.numpy())
    assert not kept[3]
    mean, at = scores.means()
    assert mean == pytest.approx(scores.average_precision.numpy()[kept].mean())
    assert at == pytest.approx(scores.precision.numpy()[kept].mean(0))


def test_shapes_must_agree():
    with pytest.raises(ValueError, match='need one shape'):
        ranking_scores(torch.ones(2, 3), torch.ones(2, 3).bool(), torch.ones(2, 1).bool())
