"""Accuracy of a trained classifier (arXiv 2308.11448, tables 4 and 7)."""

from __future__ import annotations

from mmpretrain.evaluation import Accuracy
from mmpretrain.registry import METRICS

from .reported import ReportedMetric


@METRICS.register_module()
class ClassificationAccuracy(Accuracy, ReportedMetric):
    """mmpretrain's accuracy in per cent, with a report.

    Args:
        **kwargs: Of :class:`mmpretrain.evaluation.Accuracy`, such as ``topk=(1, 5)``.
    """

    name = 'classification'

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Accuracies by the host's names, such as ``top1``."""
        metrics = {key: float(value) for key, value in super().compute_metrics(results).items()}
        absent = list((self.dataset_meta or {}).get('absent', ()))
        self.numbers = dict(metrics, images=len(results), absent=absent)
        return metrics

    def protocol(self) -> str:
        """What is measured, in words."""
        return (
            'classification by a head on the tokens of a ViT, trained on the training images '
            '(arXiv 2308.11448, tables 4 and 7, where the whole network was): share of the test '
            'images in per cent whose class is among the highest scores'
        )
