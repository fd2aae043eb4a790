"""How well similarity tells objects apart (arXiv 2308.11448, table 5 and figure 5)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from mmpretrain.registry import METRICS

from ...errors import InputError
from ...structures.image_frame import ImageFrame
from ...visualization.zero_shot import similarity_histograms
from ..functional.pair_statistics import histogram_overlap, pair_histograms, patch_labels
from .image_results import ImageResults
from .reported import Predict


@METRICS.register_module()
class SimilarityOverlap(ImageResults):
    """Cosines of pairs of patches within a category (intra) and between categories (inter).

    A patch belongs to the category that covers most of it, if that is at least half; a patch that
    is half ignored or more than half padding counts for nothing. Pairs lie in one image. What is
    kept of an image are its two histograms, so that memory does not grow with the number of pairs.

    Args:
        bins (int): Bins of the histograms on [-1, 1]. Defaults to 200.
        include_background (bool): Whether patches of no category make one more category. Defaults
            to False.
        collect_device (str): Of mmengine. Defaults to 'cpu'.
    """

    name = 'similarity_overlap'
    default_prefix = 'similarity'

    def __init__(
        self,
        bins: int = 200,
        include_background: bool = False,
        collect_device: str = 'cpu',
    ) -> None:
        super().__init__(collect_device=collect_device)
        if bins < 2:
            raise InputError(f'SimilarityOverlap: bins must be at least 2, got {bins}.')
        self.bins, self.include_background = bins, include_background

    def measure(self, sample: dict, frame: ImageFrame) -> dict[str, Any]:
        """Histograms (2, bins) and sums (2, )."""
        tokens = sample['tokens']
        grid = tokens.shape[:2]
        labels = patch_labels(frame.coverage(sample['masks'], *grid))
        ignored = frame.coverage(sample['ignore'][None], *grid)[0] >= 0.5
        # Padding is no background.
        image = torch.ones_like(sample['ignore'])[None]
        ignored |= frame.coverage(image, *grid)[0] < 0.5
        labels = labels.masked_fill(ignored, -1)
        histograms, sums = pair_histograms(
            tokens.flatten(0, 1), labels.flatten(), self.bins, self.include_background
        )
        return dict(histograms=histograms.cpu().numpy(), sums=sums.cpu().numpy())

    def summarise(self, results: Sequence[dict]) -> dict[str, Any]:
        """Both histograms as shares, their overlap and means."""
        histograms = sum(each['histograms'] for each in results)
        sums = sum(each['sums'] for each in results)
        pairs = histograms.sum(1)
        with np.errstate(invalid='ignore'):  # without pairs there is no mean
            intra, inter = sums / pairs
            shares = histograms / pairs[:, None]
        return dict(
            overlap=histogram_overlap(torch.from_numpy(histograms)).item(),
            intra=intra,
            inter=inter,
            pairs=dict(intra=pairs[0], inter=pairs[1]),
            images_with_inter_pairs=sum(bool(each['histograms'][1].any()) for each in results),
            edges=np.linspace(-1, 1, self.bins + 1),
            histograms=dict(intra=shares[0], inter=shares[1]),
        )

    def scalars(self) -> dict[str, float]:
        """Overlap and the two means."""
        return {key: float(self.numbers[key]) for key in ('overlap', 'intra', 'inter')}

    def protocol(self) -> str:
        """What is measured, in words."""
        background = 'is one more category' if self.include_background else 'is left out'
        return (
            'Cosine of all pairs of patches of an image (arXiv 2308.11448, table 5): intra in '
            'the same target, inter in different ones, where a patch belongs to the target '
            f'that covers at least 0.5 of it; background {background}; overlap '
            f'is the common area of the two histograms of {self.bins} bins on [-1, 1].'
        )

    def pictures(self, predict: Predict) -> dict[str, np.ndarray]:
        """Both histograms."""
        return {'': similarity_histograms({'this model': self.numbers})}
