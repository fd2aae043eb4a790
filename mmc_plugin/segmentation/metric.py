"""mmsegmentation's score, with the figures of each class kept."""

from __future__ import annotations

import numpy as np
from mmseg.evaluation import IoUMetric
from mmseg.registry import METRICS


@METRICS.register_module()
class ClassIoUMetric(IoUMetric):
    """mmseg's ``IoUMetric`` with ``iou_metrics=['mIoU']``, which keeps what it only prints.

    Attributes:
        numbers (dict): After an evaluation, on the main process: ``mIoU``, ``mAcc``, ``aAcc`` in
            per cent, unrounded; ``IoU`` and ``Acc`` by class, nan for a class that never occurs;
            ``pixels`` of each class in the labels.
    """

    numbers: dict

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Log mmseg's table and return its rounded means."""
        means = super().compute_metrics(results)
        intersection, union, _, label = (sum(areas).double().numpy() for areas in zip(*results))
        with np.errstate(invalid='ignore'):  # a class without pixels: 0 / 0
            iou, accuracy = 100 * intersection / union, 100 * intersection / label
        classes = self.dataset_meta['classes']
        self.numbers = dict(
            mIoU=float(np.nanmean(iou)),
            mAcc=float(np.nanmean(accuracy)),
            aAcc=float(100 * intersection.sum() / label.sum()),
            IoU=dict(zip(classes, iou.tolist(), strict=True)),
            Acc=dict(zip(classes, accuracy.tolist(), strict=True)),
            pixels=dict(zip(classes, label.astype(int).tolist(), strict=True)),
        )
        return means
