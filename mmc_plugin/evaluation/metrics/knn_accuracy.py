"""k-NN classification by frozen features (arXiv 2308.11448, tables 4, 6 and 11)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmpretrain.registry import METRICS

from ...errors import InputError
from ...wording import counted
from ..feature_bank import KINDS, FeatureBank
from ..functional.knn import knn_vote
from ..functional.neighbours import nearest_neighbours
from ..process_parts import gather_parts, own_part
from .bank_metric import BankMetric, warn


@METRICS.register_module()
class KNNAccuracy(BankMetric):
    """Accuracy on the set ``test`` of a weighted vote of the nearest images of the set ``train``.

    Args:
        kinds (Sequence[str]): Of features: ``'cls'``, ``'pat'`` and ``'hybrid'``. Defaults to all.
        k (Sequence[int]): Numbers of neighbours. Defaults to (10, 20, 50, 100).
        temperature (float): Of the vote's weight. Defaults to 0.07.
        collect_device (str): Of mmengine. Defaults to 'cpu'.
    """

    name = 'knn'
    default_prefix = 'knn'

    def __init__(
        self,
        kinds: Sequence[str] = KINDS,
        k: Sequence[int] = (10, 20, 50, 100),
        temperature: float = 0.07,
        collect_device: str = 'cpu',
    ) -> None:
        super().__init__(collect_device=collect_device)
        k = (k,) if isinstance(k, int) else k
        if not kinds or not set(kinds) <= set(KINDS):
            raise InputError(f'kinds must be some of {", ".join(KINDS)}, got {kinds}.')
        if not k or min(k) < 1 or temperature <= 0:
            raise InputError(
                f'k must be positive whole numbers and temperature above 0, got {k} and '
                f'{temperature}.'
            )
        self.kinds, self.k, self.temperature = tuple(kinds), tuple(k), temperature

    def check(self, sets: Mapping[str, Any]) -> None:
        """Refuse a k larger than the set that votes, and sets without a common class."""
        if set(sets) != {'train', 'test'}:
            raise InputError(
                f"k-NN needs the sets 'train', which votes, and 'test', got {', '.join(sets)}."
            )
        train, test = sets['train'], sets['test']
        if max(self.k) > len(train):
            raise InputError(
                f'k = {max(self.k)} neighbours are asked for, but the set that votes has '
                f'{len(train)} images: set test_evaluator.0.k to smaller numbers.'
            )
        if not set(test.labels) & set(train.labels):
            raise InputError(
                'The sets train and test have no class in common; are both of the same data set?'
            )

    def measure(self, banks: Mapping[str, FeatureBank], device: torch.device) -> dict[str, Any]:
        """Accuracy in percent by kind and k."""
        train, test = banks['train'], banks['test']
        if max(self.k) > len(train):
            raise InputError(
                f'k = {max(self.k)} neighbours are asked for, but only {len(train)} images of the '
                'set that votes can be read: set test_evaluator.0.k to smaller numbers.'
            )
        part = torch.tensor(own_part(len(test)))
        labels = train.labels.to(device)
        accuracy = {}
        for kind in self.kinds:
            similarity, index = nearest_neighbours(
                train.parts(kind), [each[part] for each in test.parts(kind)], max(self.k), device
            )
            predicted = knn_vote(similarity, labels[index], self.k, self.temperature)
            accuracy[kind] = {
                k: 100 * _mean(gather_parts(each, len(test)).cpu() == test.labels)
                for k, each in predicted.items()
            }
        best = {
            kind: dict(zip(('k', 'accuracy'), max(found.items(), key=lambda item: item[1])))
            for kind, found in accuracy.items()
        }
        unknown = ~torch.isin(test.labels, train.labels)
        if unknown.any():
            found = counted(int(unknown.sum()), 'image')
            warn(f'The set test has {found} of classes that train lacks.')
        return dict(accuracy=accuracy, best=best, images_of_unknown_classes=int(unknown.sum()))

    def scalars(self) -> dict[str, float]:
        """Accuracy in percent, by kind and k."""
        found = self.numbers['accuracy']
        return {f'{kind}_k{k}': value for kind in found for k, value in found[kind].items()}

    def protocol(self) -> str:
        """What is measured, in words."""
        return (
            'k-NN classification (arXiv 2308.11448, tables 4, 6 and 11; protocol of the DINO '
            'release): the k images of the set train of highest cosine s vote for their class with '
            f'weight exp(s / {self.temperature:g}); accuracy on the set test in percent. Features: '
            'cls, the class token; pat, the mean of the patch tokens; hybrid, both concatenated.'
        )


def _mean(right: torch.Tensor) -> float:
    return right.double().mean().item()
