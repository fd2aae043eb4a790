"""mIoU against scikit-learn's confusion matrix."""

import numpy as np
import pytest
import torch
from sklearn.metrics import confusion_matrix

pytest.importorskip('mmseg')

from mmc_plugin.segmentation import ClassIoUMetric

CLASSES = ('a', 'b', 'c', 'd', 'never')


def evaluate(pairs):
    metric = ClassIoUMetric(iou_metrics=['mIoU'])
    metric.dataset_meta = dict(classes=CLASSES)
    for truth, prediction in pairs:
        metric.process(
            {},
            [
                dict(
                    pred_sem_seg=dict(data=torch.from_numpy(prediction)[None]),
                    gt_sem_seg=dict(data=torch.from_numpy(truth)[None]),
                )
            ],
        )
    return metric.evaluate(len(pairs)), metric.numbers


def test_random_labels_with_ignored_pixels():
    rng = np.random.default_rng(0)
    pairs = []
    for _ in range(4):
        truth, prediction = rng.integers(0, 4, (2, 31, 17))
        truth[rng.random(truth.shape) < 0.2] = 255
        prediction = np.where(rng.random(truth.shape) < 0.5, truth % 255, prediction)
        pairs.append((truth, prediction))
    means, numbers = evaluate(pairs)

    truth, prediction = (np.concatenate([pair[i].ravel() for pair in pairs]) for i in (0, 1))
    matrix = confusion_matrix(truth[truth != 255], prediction[truth != 255], labels=range(5))
    hit = matrix.diagonal()[:4]
    iou = 100 * hit / (matrix.sum(0) + matrix.sum(1) - matrix.diagonal())[:4]
    accuracy = 100 * hit / matrix.sum(1)[:4]
    np.testing.assert_allclose(list(numbers['IoU'].values())[:4], iou)
    np.testing.assert_allclose(list(numbers['Acc'].values())[:4], accuracy)
    assert np.isnan(numbers['IoU']['never']) and np.isnan(numbers['Acc']['never'])
    assert list(numbers['pixels'].values()) == matrix.sum(1).tolist()
    assert numbers['mIoU'] == pytest.approx(iou.mean())  # the absent class does not count
    assert numbers['mAcc'] == pytest.approx(accuracy.mean())
    assert numbers['aAcc'] == pytest.approx(100 * hit.sum() / matrix.sum())
    for key in ('mIoU', 'mAcc', 'aAcc'):
        assert means[key] == pytest.approx(numbers[key], abs=0.00501)


def test_pixels_count_together_and_not_image_by_image():
    large, small = np.zeros((10, 10), int), np.zeros((2, 2), int)
    _, numbers = evaluate([(large, large), (small, np.ones_like(small))])
    assert numbers['IoU']['a'] == pytest.approx(100 * 100 / 104)
