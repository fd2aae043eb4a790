"""Shuffling that reads each shard in long runs."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sized

import numpy as np
from mmengine.dist import get_dist_info, sync_random_seed
from mmpretrain.registry import DATA_SAMPLERS
from torch.utils.data import Sampler

from ...errors import InputError
from ..seeding import ORDER_STREAM, SEED_STREAM, PassesOver, SampleKey, hash_words

BLOCK = 256  # most images of a block: of 100 KB each, a read of 25 MB
_WITHIN_STREAM = 2  # order within blocks that are read together


@DATA_SAMPLERS.register_module()
class BlockShuffledSampler(PassesOver, Sampler):
    """Blocks of 256 neighbours in random order; within ``together`` of them at a time, all images.

    So at any time ``together`` runs of a shard are read, not single images of all shards. Each
    image comes up once an epoch. Order and seeds depend on (seed, epoch, index) only, whatever the
    number of processes, and are made as they are needed: neither time nor memory at the start
    grow with the number of images. The seeds are those of :class:`SeededSampler`.

    Args:
        dataset (Sized): A data set that tells its ``runs()``, such as :class:`ShardedImages`; of
            any other all images are one run.
        together (int): Blocks that are mixed. Defaults to 64.
        ahead (int): Keys tell which image comes so many keys later, so that it is on its way from
            a store by then: batch size times workers, which :func:`complete_loader` sets where
            ``data_root`` is the address of a store. Defaults to 0, none.
        shuffle (bool): Defaults to True; False is the order of the index.
        seed (int, optional): As in :class:`SeededSampler`.

    Raises:
        ValueError: If a number is out of range.
    """

    def __init__(
        self,
        dataset: Sized,
        together: int = 64,
        ahead: int = 0,
        shuffle: bool = True,
        seed: int | None = None,
    ) -> None:
        if together < 1 or ahead < 0:
            raise InputError(
                'BlockShuffledSampler: together must be positive and ahead not negative, got '
                f'{together} and {ahead}.'
            )
        self.rank, self.world_size = get_dist_info()
        self.dataset, self.together, self.ahead = dataset, together, ahead
        self.shuffle = shuffle
        self.seed = sync_random_seed() if seed is None else seed
        self.epoch = 0
        self.num_samples = -(-len(dataset) // self.world_size)
        self.total_size = self.num_samples * self.world_size
        runs = dataset.runs() if hasattr(dataset, 'runs') else np.array([0, len(dataset)])
        blocks = [np.arange(low, high, BLOCK) for low, high in zip(runs[:-1], runs[1:])]
        self._starts = np.concatenate([*blocks, runs[-1:]])

    def __len__(self) -> int:
        return self.num_samples

    def set_epoch(self, epoch: int) -> None:
        """Name the epoch that comes next."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[SampleKey]:
        """Yield the keys of this process for the epoch that ``set_epoch`` named."""
        passed, self._passed = self._passed, 0
        keys = self._keys(passed + self.rank)
        return self._with_next(keys) if self.ahead else keys

    def _with_next(self, keys: Iterator[SampleKey]) -> Iterator[SampleKey]:
        waiting: deque[SampleKey] = deque()
        for key in keys:
            waiting.append(key)
            if len(waiting) > self.ahead:
                yield waiting.popleft()._replace(ahead=key.index)
        yield from waiting

    def _keys(self, place: int) -> Iterator[SampleKey]:
        """Every ``world_size``-th key of the epoch from a place on."""
        begin = 0
        for part in self._parts():
            mine = part[max(place - begin, 0) :: self.world_size]
            seeds = hash_words(self.seed, self.epoch, SEED_STREAM, mine)
            for index, seed in zip(mine.tolist(), seeds.tolist(), strict=True):
                yield SampleKey(index, seed)
            place += len(mine) * self.world_size
            begin += len(part)

    def _parts(self) -> Iterator[np.ndarray]:
        """Indices of the epoch, one lot that is mixed after the other; the first repeated."""
        number = len(self._starts) - 1
        order = self._shuffled(np.arange(number), ORDER_STREAM)
        first = None
        for low in range(0, number, self.together):
            lot = [
                np.arange(self._starts[each], self._starts[each + 1])
                for each in order[low : low + self.together]
            ]
            indices = self._shuffled(np.concatenate(lot), _WITHIN_STREAM)
            first = indices if first is None else first
            yield indices
        if self.total_size > len(self.dataset):  # so that all processes get equally many
            yield np.resize(first, self.total_size - len(self.dataset))

    def _shuffled(self, numbers: np.ndarray, stream: int) -> np.ndarray:
        if not self.shuffle:
            return numbers
        words = hash_words(self.seed, self.epoch, stream, numbers)
        return numbers[np.argsort(words, kind='stable')]
