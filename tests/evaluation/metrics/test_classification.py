import numpy as np
import torch
from mmpretrain.structures import DataSample

from mmc_plugin.evaluation.metrics import ClassificationAccuracy


def test_shares_of_right_images_in_per_cent():
    rng = np.random.default_rng(0)
    scores, labels = rng.dirichlet(np.ones(7), 40), rng.integers(0, 7, 40)
    metric = ClassificationAccuracy(topk=(1, 3))
    samples = [
        DataSample().set_pred_score(torch.tensor(score)).set_gt_label(int(label)).to_dict()
        for score, label in zip(scores, labels)
    ]
    metric.dataset_meta = dict(absent=['gone.jpg'])
    metric.process({}, samples)
    found = metric.evaluate(40)
    rank = (scores > scores[np.arange(40), labels][:, None]).sum(1)
    expected = {'top1': 100 * np.mean(rank < 1), 'top3': 100 * np.mean(rank < 3)}
    assert metric.numbers.pop('absent') == ['gone.jpg']
    assert {key: round(value, 3) for key, value in metric.numbers.items()} == {
        **expected, 'images': 40
    }  # fmt: skip
    assert set(found) == {'accuracy/top1', 'accuracy/top3'}
