"""What a metric offers so that its evaluation leaves a report."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from mmengine.evaluator import BaseMetric
from mmengine.structures import BaseDataElement

# Place of a sample in the data set → its image, uint8 RGB (H, W, 3), and what the model says of it.
Predict = Callable[[int], tuple[np.ndarray, BaseDataElement]]


class ReportedMetric(BaseMetric):
    """A metric of which :class:`EvaluationReportHook` writes a JSON file, and pictures.

    ``compute_metrics`` sets :attr:`numbers`.
    """

    name: str
    """How the report is named."""
    numbers: dict[str, Any]
    """All that was measured, for the report."""

    def protocol(self) -> str:
        """What is measured, in words, with the settings that the numbers depend on."""
        raise NotImplementedError

    def pictures(self, predict: Predict) -> dict[str, np.ndarray]:
        """Pictures, uint8 RGB (H', W', 3), by what follows :attr:`name` in their file's name."""
        return {}
