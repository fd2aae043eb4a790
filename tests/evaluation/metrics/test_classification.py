import numpy as np
import pytest
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
    assert metric.numbers.pop('absent') == ['gone.jpg'] and metric.numbers.pop('unreadable') == []
    assert {key: round(value, 3) for key, value in metric.numbers.items()} == {
        **expected, 'images': 40
    }  # fmt: skip
    assert set(found) == {'accuracy/top1', 'accuracy/top3'}


def test_unreadable_images_are_left_out_and_listed():
    def sample(label, right):
        score = torch.tensor([0.9, 0.1] if right == (label == 0) else [0.1, 0.9])
        found = DataSample(metainfo=dict(img_path=f'{label}.jpg')).set_pred_score(score)
        return found.set_gt_label(label).to_dict() | dict(img_path=f'{label}.jpg')

    metric = ClassificationAccuracy(topk=(1,))
    metric.process({}, [sample(0, True), sample(-1, True), sample(1, False), sample(1, True)])
    assert metric.evaluate(4)['accuracy/top1'] == pytest.approx(200 / 3)
    assert metric.numbers['images'] == 3 and metric.numbers['unreadable'] == ['-1.jpg']
    metric.process({}, [sample(-1, True)])
    with pytest.raises(RuntimeError, match="None of the images can be read .1 in all.* '-1.jpg'"):
        metric.evaluate(1)
