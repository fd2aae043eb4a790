"""Shards over the folder that they were made of, and the start on ten million images.

- ``disk``: images/s of the whole pipeline from shards, over that from the folder, both on this
  disk, with their files in the system's cache; one process, in turns (``timing.py``).
- ``store``: the same through fsspec from a store that waits before it answers each request, over
  the folder, with as many workers.
- ``start``: seconds and resident memory until the first key of a shuffled epoch of an index with
  ten million synthetic entries, beyond those of a process that has imported the same.

Example:
    python tools/benchmarks/shards.py --repeats 5
"""

import argparse
import os
import tempfile
import time
from functools import partial
from pathlib import Path

import cv2
import fsspec
import numpy as np
import torch
from data_pipeline import write_jpegs
from fsspec.implementations.local import LocalFileSystem
from mmengine.config import Config
from mmengine.registry import init_default_scope
from timing import WALL, clock, in_turns, ratio
from torch.utils.data import DataLoader

from mmc_plugin.datasets import BlockShuffledSampler, ImageTree, ShardedImages
from mmc_plugin.datasets.shards.index import INDEX
from mmc_plugin.datasets.shards.making import write_shards

VIEWS = Path(__file__).parents[2] / 'configs' / '_base_' / 'datasets' / 'views_224.py'


def parse_args():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--images', type=int, default=192, help='JPEGs of 500x375')
    parser.add_argument('--batch', type=int, default=48, help='images at once')
    parser.add_argument('--latency', type=float, default=0.05, help='seconds before an answer')
    parser.add_argument('--workers', type=int, default=1, help='of the store and its folder')
    parser.add_argument(
        '--entries',
        type=int,
        default=10_000_000,
        help='files of a large index, whose memory is measured',
    )
    parser.add_argument('--repeats', type=int, default=5, help='turns that count')
    return parser.parse_args()


class SlowFileSystem(LocalFileSystem):
    """The local disk as a store that waits before each answer; ``slow:///path``."""

    protocol, latency = 'slow', 0.05

    @classmethod
    def _strip_protocol(cls, path):
        return super()._strip_protocol(str(path).removeprefix('slow://'))

    def cat_file(self, path, start=None, end=None, **kwargs):
        """Some bytes, after the latency."""
        time.sleep(self.latency)
        with open(self._strip_protocol(path), 'rb') as file:
            file.seek(start or 0)
            return file.read(end - (start or 0))


def epoch(loader):
    """Read all."""
    for _ in loader:
        pass


def resident():
    """Bytes in memory of this process."""
    return int(Path('/proc/self/statm').read_text().split()[1]) * os.sysconf('SC_PAGE_SIZE')


def write_large_index(folder, entries):
    """An index of so many synthetic entries in a thousand shards, and the (sparse) shards."""
    import json

    Path(folder, INDEX).mkdir()
    each = entries // 1000
    columns = dict(
        offset=np.tile(np.arange(each, dtype=np.int64) * 110_592, 1000),
        size=np.full(each * 1000, 110_000, np.int64),
        crc=np.zeros(each * 1000, np.uint32),
        name_end=np.arange(1, each * 1000 + 1, dtype=np.int64) * 24,
        names=np.frombuffer(b'n01440764/n01440764.JPEG' * (each * 1000), np.uint8),
    )
    for name, column in columns.items():
        np.save(Path(folder, INDEX, f'{name}.npy'), column)
    shards = []
    for number in range(1000):
        name = f'shard-{number:06d}.tar'
        with open(Path(folder, name), 'wb') as file:
            file.truncate(each * 110_592)
        shards.append(dict(name=name, kind='tar', bytes=each * 110_592, entries=each))
    about = dict(version=1, shards=shards, left_out={})
    Path(folder, INDEX, 'shards.json').write_text(json.dumps(about))


def main():
    args = parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    init_default_scope('mmpretrain')
    with tempfile.TemporaryDirectory() as folder:
        write_large_index(folder, args.entries)  # in this process, whose memory is freed
        pid = os.fork()
        if pid == 0:
            before, begin = resident(), clock(WALL)
            dataset = ShardedImages(folder)
            next(iter(BlockShuffledSampler(dataset, seed=0)))
            dataset.get_data_info(len(dataset) // 2)
            seconds, memory = clock(WALL) - begin, (resident() - before) / 1e6
            print(f'start: {len(dataset)} images, {seconds:.2f} s, {memory:.0f} MB', flush=True)
            os._exit(0)
        os.waitpid(pid, 0)

    pipeline = Config.fromfile(VIEWS).train_pipeline
    with tempfile.TemporaryDirectory() as folder:
        images, shards = Path(folder, 'images'), Path(folder, 'shards')
        images.mkdir()
        paths = write_jpegs(images)
        for number in range(args.images - len(paths)):
            os.link(paths[number % len(paths)], images / f'copy{number:05d}.jpg')
        write_shards(str(images), str(shards), 4_000_000, lambda text: None)
        tree, sharded = ImageTree(str(images), pipeline), ShardedImages(str(shards), pipeline)

        def loader(dataset, workers):
            sampler = BlockShuffledSampler(dataset, seed=0, ahead=args.batch * max(workers, 1))
            return DataLoader(dataset, args.batch, sampler=sampler, num_workers=workers,
                              persistent_workers=workers > 0, collate_fn=len)  # fmt: skip

        runs = [partial(epoch, loader(each, 0)) for each in (sharded, tree)]
        times = in_turns(runs, args.repeats, 1, 'cpu').T
        print(f'disk: {args.images / np.median(times[0]):.1f} images/s, over the folder '
              f'{ratio(times[1], times[0])}', flush=True)  # fmt: skip

        SlowFileSystem.latency = args.latency
        fsspec.register_implementation('slow', SlowFileSystem)
        store = ShardedImages(f'slow://{shards}', pipeline, index=str(shards / INDEX))
        runs = [partial(epoch, loader(each, args.workers)) for each in (store, tree)]
        times = in_turns(runs, args.repeats, 1, WALL).T
        print(f'store, {args.workers} workers, {1000 * args.latency:.0f} ms: over the folder '
              f'{ratio(times[1], times[0])}')  # fmt: skip


if __name__ == '__main__':
    main()
