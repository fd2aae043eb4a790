"""Epochs of a chosen length, whatever the number of images."""

from __future__ import annotations

from collections.abc import Iterator, Sized

import numpy as np
from mmengine.dist import get_dist_info, sync_random_seed
from mmpretrain.registry import DATA_SAMPLERS
from torch.utils.data import Sampler

from ..errors import InputError
from .seeding import ORDER_STREAM, SEED_STREAM, PassesOver, SampleKey, hash_stream


@DATA_SAMPLERS.register_module()
class FixedLengthSampler(PassesOver, Sampler):
    """Epochs of ``length`` samples out of an endless sequence of shuffled passes over the data.

    A few images are repeated within an epoch and many are spread over several epochs; in either
    case each image comes up once before any comes up again. As with :class:`SeededSampler`, which
    image comes when, and its seed, depend on (seed, epoch, position) only.

    Args:
        dataset: The dataset.
        length: Samples in an epoch over all processes, rounded up to equal parts.
        seed: Seed of the run, the same in all processes. Defaults to None, drawn once and shared.
    """

    def __init__(self, dataset: Sized, length: int, seed: int | None = None) -> None:
        if length < 1:
            raise InputError(f'FixedLengthSampler: length must be positive, got {length}.')
        self.rank, self.world_size = get_dist_info()
        self.dataset = dataset
        self.num_samples = -(-length // self.world_size)
        self.total_size = self.num_samples * self.world_size
        self.seed = sync_random_seed() if seed is None else seed
        self.epoch = 0

    def __len__(self) -> int:
        return self.num_samples

    def set_epoch(self, epoch: int) -> None:
        """Name the epoch that comes next."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[SampleKey]:
        """Yield the keys of this process for the epoch."""
        total, images = self.total_size, len(self.dataset)
        first = self.epoch * total
        passes = range(first // images, (first + total - 1) // images + 1)
        order = np.concatenate(
            [
                np.argsort(hash_stream(self.seed, each, ORDER_STREAM, images), kind='stable')
                for each in passes
            ]
        )
        order = order[first - passes.start * images :][:total]
        seeds = hash_stream(self.seed, self.epoch, SEED_STREAM, total)
        passed, self._passed = self._passed, 0
        return (
            SampleKey(int(order[i]), int(seeds[i]))
            for i in range(passed + self.rank, total, self.world_size)
        )
