"""What metrics over whole sets of features share."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from mmengine.logging import print_log

from ...errors import RunError
from ...models.features import FrozenFeatures
from ...wording import counted
from ..feature_bank import FeatureBank
from .reported import ReportedMetric


@dataclass(frozen=True)
class Banks:
    """Features of several sets, and where to compute with them.

    Attributes:
        banks: By name of the set, the same on all processes.
        device: Of the network.
    """

    banks: Mapping[str, FeatureBank]
    device: torch.device


class BankMetric(ReportedMetric):
    """A metric over the features of whole sets, which every process has.

    A subclass gives :meth:`measure` and :meth:`scalars`. What could not be read, and images that
    occur more than once, are counted in the numbers.
    """

    def check(self, sets: Mapping[str, Any]) -> None:
        """Refuse sets that cannot be measured, before their features are extracted.

        Args:
            sets (Mapping[str, ImageSource]): By name.
        """

    def look_at(self, model: FrozenFeatures) -> None:
        """Take from the network what the metric needs beside its features.

        Args:
            model (FrozenFeatures): Whose features will be measured.
        """

    def measure(self, banks: Mapping[str, FeatureBank], device: torch.device) -> dict[str, Any]:
        """Numbers for the report; all processes call it."""
        raise NotImplementedError

    def scalars(self) -> dict[str, float]:
        """The few of the numbers that are printed."""
        raise NotImplementedError

    def process(self, data_batch: Any, data_samples: list[Banks]) -> None:
        """Take the banks."""
        self.results.extend(data_samples)

    def evaluate(self, size: int) -> dict[str, float]:
        """Measure; nothing is collected, because every process has the whole banks."""
        metrics = self.compute_metrics(self.results)
        self.results.clear()
        return {f'{self.prefix}/{key}': value for key, value in metrics.items()}

    def compute_metrics(self, results: list[Banks]) -> dict[str, float]:
        """Measure; set :attr:`numbers`."""
        (given,) = results
        for name, bank in given.banks.items():
            if not all(part.isfinite().all() for part in (bank.cls, bank.pat)):
                raise RunError(
                    f'The features of the set {name!r} are not finite: are the weights whole?'
                )
        sets = {name: self._about(name, bank) for name, bank in given.banks.items()}
        self.numbers = dict(sets=sets, **self.measure(given.banks, given.device))
        shared = _shared(given.banks)
        if shared:
            self.numbers['images_in_two_sets'] = shared
            found = (f'{counted(n, "image is", "images are")} in {s}' for s, n in shared.items())
            warn(f'{", ".join(found)}.')
        return self.scalars()

    def _about(self, name: str, bank: FeatureBank) -> dict[str, Any]:
        source = (self.dataset_meta or {}).get('sets', {}).get(name)
        absent = [] if source is None else source.absent
        same = 'the pixels of another one'
        repeated = len(bank) - len(bank.hashes.unique())
        for number, words in (
            (len(bank.unreadable), ('image cannot be read', 'images cannot be read')),
            (len(absent), ('image is not there', 'images are not there')),
            (repeated, (f'image has {same}', f'images have {same}')),
        ):
            if number:
                warn(f'{name}: {counted(number, *words)}.')
        return dict(
            images=len(bank),
            classes=None if bank.labels is None else len(bank.labels.unique()),
            unreadable=list(bank.unreadable),
            absent=list(absent),
            duplicates=repeated,
        )


def _shared(banks: Mapping[str, FeatureBank]) -> dict[str, int]:
    """How many images of one set have the pixels of one of another, by 'one and other'."""
    names = list(banks)
    found = {
        f'{one} and {other}': int(torch.isin(banks[other].hashes, banks[one].hashes).sum())
        for i, one in enumerate(names)
        for other in names[i + 1 :]
    }
    return {pair: number for pair, number in found.items() if number}


def warn(words: str) -> None:
    """Say something in the log of a test."""
    print_log(words, logger='current', level=logging.WARNING)
