"""How much features vary over views of an image (arXiv 2308.11448, table 10)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from mmpretrain.registry import METRICS

from ...errors import RunError
from ...wording import counted
from .bank_metric import warn
from .reported import ReportedMetric

KEYS = ('image', 'patch')


@METRICS.register_module()
class FeatureVariance(ReportedMetric):
    """Means over images of the variances that :class:`VarianceLoop` finds for each of them.

    Args:
        collect_device (str): Of mmengine. Defaults to 'cpu'.
    """

    name = 'feature_variance'
    default_prefix = 'variance'

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Take results of images: ``sample_idx``, ``img_path`` and, if readable, both variances."""
        self.results.extend(data_samples)

    def compute_metrics(self, results: list[dict]) -> dict[str, float]:
        """Average; set :attr:`numbers`.

        Raises:
            RuntimeError: If no image could be read, or features are not finite.
        """
        # Processes repeat images to have equally many.
        once = {each['sample_idx']: each for each in results}
        once = [once[key] for key in sorted(once)]
        used = [each for each in once if 'image' in each]
        unreadable = [each['img_path'] for each in once if 'image' not in each]
        if not used:
            raise RunError(
                f'None of the images can be read ({len(once)} in all); the first is '
                f'{unreadable[0]!r}.'
            )
        if unreadable:
            warn(f'{counted(len(unreadable), "image")} cannot be read, the first: {unreadable[0]}.')
        values = {key: np.array([each[key] for each in used]) for key in KEYS}
        if not all(np.isfinite(each).all() for each in values.values()):
            raise RunError('The features are not finite: are the weights whole?')
        self.numbers = dict(
            images=len(used),
            unreadable=unreadable,
            absent=list(self.dataset_meta['sets']['test'].absent) if self.dataset_meta else [],
            **{key: _spread(each) for key, each in values.items()},
        )
        return {key: self.numbers[key]['mean'] for key in KEYS}

    def protocol(self) -> str:
        """What is measured, in words."""
        about = (self.dataset_meta or {}).get('views', {})
        number, scale, coverage = (about.get(key) for key in ('number', 'scale', 'coverage'))
        return (
            'Feature variance (arXiv 2308.11448, table 10). image: variance of the class token '
            f'over {number} random crops of an image (scale {scale}). patch: variance of each '
            f'patch token over {number} masks that replace {coverage:g} of the image by noise of '
            'the normal distribution, mean over the patches. Variance is the mean squared distance '
            'from the mean, averaged over the dimensions of the token as the network gives it '
            '(after its last norm); mean over the images. ci95: 1.96 standard errors over the '
            'images.'
        )


def _spread(values: np.ndarray) -> dict[str, float]:
    error = values.std(ddof=1) / len(values) ** 0.5 if len(values) > 1 else np.nan
    return dict(mean=float(values.mean()), ci95=float(1.96 * error))
