"""Ranking of a database by similarity, scored as revisited Oxford and Paris do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ...errors import InputError


@dataclass(frozen=True)
class RankingScores:
    """How well each query ranks the database; NaN for queries without a relevant image.

    Attributes:
        average_precision: float64 (M, ).
        precision: float64 (M, K), at each of K ranks.
    """

    average_precision: Tensor
    precision: Tensor

    def means(self) -> tuple[float, list[float]]:
        """mAP, and mP at each rank, over the queries that have a relevant image."""
        counted = ~self.average_precision.isnan()
        return (
            self.average_precision[counted].mean().item(),
            self.precision[counted].mean(0).tolist(),
        )


def ranking_scores(
    similarity: Tensor, relevant: Tensor, junk: Tensor, ranks: Sequence[int] = (1, 5, 10)
) -> RankingScores:
    """Score rankings; junk is taken out of them as if it was not in the database.

    Average precision is the area under the line through precision before and after each relevant
    image; precision at k is of the first k images, or of those up to the last relevant one if that
    comes earlier [both: release of arXiv 1803.11285].

    Args:
        similarity (Tensor): (M, N) of M queries to N images; of equal ones the first comes first.
        relevant (Tensor): bool (M, N).
        junk (Tensor): bool (M, N); an image that is both is junk.
        ranks (Sequence[int]): K ranks, from 1.

    Returns:
        RankingScores: Of each query.
    """
    if similarity.shape != relevant.shape or similarity.shape != junk.shape:
        raise InputError(
            'Similarities, relevant and junk images need one shape, got '
            f'{tuple(similarity.shape)}, {tuple(relevant.shape)} and {tuple(junk.shape)}.'
        )
    relevant = relevant & ~junk
    order = similarity.argsort(dim=1, descending=True, stable=True)
    relevant, kept = relevant.gather(1, order), ~junk.gather(1, order)
    place = kept.cumsum(1).double()  # from 1, without the junk before
    found = relevant.cumsum(1).double()  # relevant ones up to here
    total = relevant.sum(1).double()
    before = torch.where(place > 1, (found - 1) / (place - 1), 1)
    areas = (before + found / place) / 2
    precision = torch.where(relevant, areas, 0).sum(1) / total  # 0 / 0 is NaN

    last = torch.where(relevant, place, 0).amax(1)
    at = []
    for rank in ranks:
        depth = last.clamp(max=rank)
        at.append((relevant & (place <= depth[:, None])).sum(1) / depth)
    return RankingScores(precision, torch.stack(at, 1))
