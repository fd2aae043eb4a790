"""Accuracy of a trained classifier (arXiv 2308.11448, tables 4 and 7)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmpretrain.evaluation import Accuracy
from mmpretrain.registry import METRICS

from ...datasets.labelled_images import UNREADABLE
from ...errors import RunError
from ...wording import counted
from .bank_metric import warn
from .reported import ReportedMetric


@METRICS.register_module()
class ClassificationAccuracy(Accuracy, ReportedMetric):
    """mmpretrain's accuracy in per cent, with a report.

    Images that cannot be read (:class:`LabelledImages`) are left out and listed.

    Args:
        **kwargs: Of :class:`mmpretrain.evaluation.Accuracy`, such as ``topk=(1, 5)``.
    """

    name = 'classification'

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Take scores and labels, of unreadable images their paths."""
        for sample in data_samples:  # one by one, as the order holds over processes
            if sample['gt_label'] == UNREADABLE:
                self.results.append(dict(unreadable=sample['img_path']))
            else:
                super().process(data_batch, [sample])

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Accuracies by the host's names, such as ``top1``.

        Raises:
            RuntimeError: If no image could be read.
        """
        unreadable = [each['unreadable'] for each in results if 'unreadable' in each]
        results = [each for each in results if 'unreadable' not in each]
        if not results:
            raise RunError(
                f'None of the images can be read ({len(unreadable)} in all); the first is '
                f'{unreadable[0]!r}.'
            )
        if unreadable:
            warn(
                f'Left out {counted(len(unreadable), "image")} that cannot be read, the first: '
                f'{unreadable[0]}.'
            )
        metrics = {key: float(value) for key, value in super().compute_metrics(results).items()}
        absent = list((self.dataset_meta or {}).get('absent', ()))
        self.numbers = dict(metrics, images=len(results), unreadable=unreadable, absent=absent)
        return metrics

    def protocol(self) -> str:
        """What is measured, in words."""
        return (
            'classification by a head on the tokens of a ViT, trained on the training images '
            '(arXiv 2308.11448, tables 4 and 7, where the whole network was): share of the test '
            'images in per cent whose class is among the highest scores'
        )
