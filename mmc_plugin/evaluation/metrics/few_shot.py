"""Few-shot recognition by frozen features (arXiv 2308.11448, table 8)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from mmpretrain.registry import METRICS

from ...errors import InputError
from ...wording import counted
from ..feature_bank import KINDS, FeatureBank
from ..functional.few_shot import (
    draw_episodes,
    episode_scores,
    mean_and_interval,
    nearest_accuracy,
    threshold_f1,
)
from .bank_metric import BankMetric, warn

# .1 … .9, without the noise of adding up steps.
THRESHOLDS = [round(0.1 * i, 6) for i in range(1, 10)]


@METRICS.register_module()
class FewShot(BankMetric):
    """Accuracy of the nearest support image, and F1 at all :data:`THRESHOLDS`, over episodes.

    Args:
        ways (int): Classes in an episode. Defaults to 5.
        shots (int): Support images of each class. Defaults to 1.
        queries (int): Queries of each class. Defaults to 15.
        episodes (int): Episodes of each seed. Defaults to 600.
        seeds (Sequence[int]): Of the draws. Defaults to (0, 1, 2).
        kind (str): Of features. Defaults to 'cls'.
        collect_device (str): Of mmengine. Defaults to 'cpu'.
    """

    name = 'few_shot'
    default_prefix = 'few_shot'

    def __init__(
        self,
        ways: int = 5,
        shots: int = 1,
        queries: int = 15,
        episodes: int = 600,
        seeds: Sequence[int] = (0, 1, 2),
        kind: str = 'cls',
        collect_device: str = 'cpu',
    ) -> None:
        super().__init__(collect_device=collect_device)
        counts = dict(shots=shots, queries=queries, episodes=episodes, ways=ways - 1)
        if min(counts.values()) < 1 or not seeds or kind not in KINDS:
            raise InputError(
                'FewShot needs at least 2 ways, 1 of shots, queries, episodes and seeds, and a '
                f'kind of {", ".join(KINDS)}; got {ways}, {shots}, {queries}, {episodes}, '
                f'{list(seeds)} and {kind!r}.'
            )
        self.ways, self.shots, self.queries = ways, shots, queries
        self.episodes, self.seeds, self.kind = episodes, tuple(seeds), kind

    def check(self, sets: Mapping[str, Any]) -> None:
        """Refuse sets that no episode can be drawn from."""
        if set(sets) != {'test'}:
            raise InputError(f"FewShot needs one set, 'test', got {', '.join(sets)}.")
        self._draw(sets['test'].labels, self.seeds[0], 1)

    def _draw(self, labels: Sequence[int], seed: int, episodes: int) -> np.ndarray:
        return draw_episodes(labels, episodes, self.ways, self.shots, self.queries, seed)

    def measure(self, banks: Mapping[str, FeatureBank], device: torch.device) -> dict[str, Any]:
        """Accuracy and F1, as fractions."""
        bank = banks['test']
        features = bank.features(self.kind).to(device)
        _, sizes = bank.labels.unique(return_counts=True)
        small = int((sizes < self.shots + self.queries).sum())
        if small:
            warn(
                f'Left out {small} of {counted(len(sizes), "class", "classes")}, with fewer than '
                f'{self.shots} + {self.queries} images.'
            )
        accuracy, f1 = [], []
        thresholds = torch.tensor(THRESHOLDS)
        for seed in self.seeds:
            episodes = torch.from_numpy(self._draw(bank.labels, seed, self.episodes))
            scores = episode_scores(features, episodes, self.shots)
            accuracy.append(nearest_accuracy(scores).cpu())
            f1.append(threshold_f1(scores, thresholds).cpu())
        accuracy, f1 = torch.stack(accuracy), torch.stack(f1)  # (R, E), (R, E, T)
        best = int(f1.mean((0, 1)).argmax())
        return dict(
            accuracy=_spread(accuracy),
            f1=_spread(f1[..., best]),
            best_threshold=THRESHOLDS[best],
            thresholds=THRESHOLDS,
            f1_curve=f1.mean((0, 1)),
            classes_left_out=small,
        )

    def scalars(self) -> dict[str, float]:
        """Accuracy and best F1 in percent, with half of their 95 % intervals."""
        out = {'best_threshold': self.numbers['best_threshold']}
        for key in ('accuracy', 'f1'):
            out[key] = 100 * self.numbers[key]['mean']
            out[f'{key}_ci95'] = 100 * self.numbers[key]['ci95']
        return out

    def protocol(self) -> str:
        """What is measured, in words."""
        return (
            f'{self.ways}-way {self.shots}-shot episodes (arXiv 2308.11448, table 8), '
            f'{self.queries} queries of each class, {self.episodes} episodes for each of the seeds '
            f'{list(self.seeds)}; score of a query and a class: largest cosine of their '
            f'{self.kind} features over the support images. accuracy: the class of the largest '
            'score is right. f1: a query is said to be of each class whose score is above a '
            'threshold; F1 over all pairs of query and class of an episode, mean over the '
            'episodes, at the threshold of .1 … .9 where that is best. ci95: 1.96 standard errors '
            'over the episodes. Numbers are fractions.'
        )


def _spread(values: torch.Tensor) -> dict[str, Any]:
    """Of values (R, E) of R seeds."""
    mean, interval = mean_and_interval(values)
    return dict(mean=mean, ci95=interval, seeds=values.mean(1))
