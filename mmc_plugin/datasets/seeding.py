"""Samples whose randomness follows (seed, epoch, index) and nothing else.

The sampler sends every index together with a seed, and the dataset seeds the random generators from
it before the pipeline runs. Which worker draws the sample, how many workers or processes there are,
and whether the run was resumed then make no difference.
"""

import random
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from mmengine.dataset import DefaultSampler
from mmpretrain.registry import DATA_SAMPLERS

_UINT64_MAX = 2**64 - 1
_GOLDEN_RATIO = np.uint64(0x9E3779B97F4A7C15)
ORDER_STREAM, SEED_STREAM = 0, 1  # independent random streams of one epoch


class SampleKey(NamedTuple):
    """What the sampler sends to the dataset in place of a bare index.

    Attributes:
        index: Position in the dataset.
        seed: Seed of everything random in this sample, in [0, 2**64).
        ahead: Position of one that the same process will be asked for soon; -1 if that is not
            known.
    """

    index: int
    seed: int
    ahead: int = -1


def _splitmix64(words: np.ndarray) -> np.ndarray:
    """Finaliser of splitmix64 (Steele, Lea, Flood 2014): a bijection on uint64 arrays."""
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return words ^ (words >> np.uint64(31))


def hash_stream(seed: int, epoch: int, stream: int, length: int) -> np.ndarray:
    """Pseudo-random words, all different, of which the i-th depends on (seed, epoch, stream, i).

    Args:
        seed: Seed of the run.
        epoch: Epoch, from 0.
        stream: Number of the stream within the epoch.
        length: How many words.

    Returns:
        uint64 array (length,).
    """
    return hash_words(seed, epoch, stream, np.arange(length))


def hash_words(seed: int, epoch: int, stream: int, indices: np.ndarray) -> np.ndarray:
    """Those words of :func:`hash_stream` that have these indices; uint64 of their shape."""
    state = np.zeros(1, np.uint64)
    for word in (seed, epoch, stream):
        state = _splitmix64(state + np.uint64(word & _UINT64_MAX) + _GOLDEN_RATIO)
    return _splitmix64(state + (indices.astype(np.uint64) + np.uint64(1)) * _GOLDEN_RATIO)


def seed_everything_from(key: SampleKey) -> None:
    """Seed ``random``, NumPy's global generator and torch's CPU generator from ``key.seed``.

    Generators of accelerators are left alone: samples are made on the CPU, and in the main process
    (``num_workers=0``) the model's own randomness must not be reset by its data.
    """
    random.seed(key.seed)
    np.random.seed(key.seed & 0xFFFFFFFF)
    torch.default_generator.manual_seed(key.seed)


class SeededItems:
    """Mixin, before an mmengine ``BaseDataset``: ``dataset[SampleKey]`` seeds, then loads."""

    def __getitem__(self, key: int | SampleKey) -> dict:
        """Sample at an index, or at a ``SampleKey`` after seeding from it."""
        if isinstance(key, SampleKey):
            seed_everything_from(key)
            key = key.index
        return super().__getitem__(key)


class PassesOver:
    """Mixin of samplers of ``total_size`` samples an epoch over ``world_size`` processes."""

    _passed = 0  # samples of the next epoch that are left out

    def pass_over(self, samples: int) -> int:
        """Leave out the first samples of the epoch that comes next, counted over all processes.

        Returns:
            int: How many are left for this process.
        """
        self._passed = min(samples, self.total_size)
        return -(-(self.total_size - self._passed) // self.world_size)


@DATA_SAMPLERS.register_module()
class SeededSampler(PassesOver, DefaultSampler):
    """mmengine's ``DefaultSampler`` that yields :class:`SampleKey`.

    The order and the seeds of an epoch depend on (seed, epoch, index) only. Processes take
    every ``world_size``-th key, and ``round_up`` repeats the first keys, seeds included, so that
    all processes get equally many.

    Args:
        dataset (Sized): The dataset.
        seed (int, optional): Seed of the run, the same in all processes; mmengine passes the
            runner's. None: drawn once and shared by all processes. Defaults to None.
        shuffle (bool): Whether to shuffle each epoch. Defaults to True.
        round_up (bool): Whether to repeat keys until the processes can share equally.
            Defaults to True.
    """

    def __iter__(self) -> Iterator[SampleKey]:
        """Yield the keys of this process for the epoch that ``set_epoch`` named."""
        length = len(self.dataset)
        order = np.arange(length)
        if self.shuffle:
            order = np.argsort(
                hash_stream(self.seed, self.epoch, ORDER_STREAM, length), kind='stable'
            )
        seeds = hash_stream(self.seed, self.epoch, SEED_STREAM, length)
        passed, self._passed = self._passed, 0
        mine = np.resize(order, self.total_size)[passed + self.rank :: self.world_size]
        return (SampleKey(int(index), int(seeds[index])) for index in mine)
