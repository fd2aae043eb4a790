"""Images in shards as a training set, by index."""

from __future__ import annotations

import hashlib
import os
import zlib
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
from mmcv.transforms import Compose
from mmengine.logging import print_log
from mmpretrain.registry import DATASETS, TRANSFORMS
from torch.utils.data import Dataset

from ...durable import written_whole
from ...errors import InputError, RunError, needing
from ...wording import counted
from ..seeding import SampleKey, seed_everything_from
from ..transforms.loading import UnreadableImageError
from .index import FILES, INDEX, Entry, ShardIndex
from .stores import LocalStore, open_store

_TRIES = 1000  # images in a row that cannot be read, as mmengine's data sets
_THREADS = 32  # reads at a time from a store that answers slowly
_MOST_COMING = 4096  # images on their way to a process
_ROW_GROUPS = 4  # of parquet, kept in memory in each process


@DATASETS.register_module()
class ShardedImages(Dataset):
    """All images in the shards of a folder, by their place in its index.

    Samples, order, augmentations and masks follow from (seed, epoch, index) as those of
    :class:`ImageTree` do: with the same sampler, shards that ``make_shards.py`` has made of a
    folder give the samples of that folder, to the bit. Bytes are compared with the index's
    checksum. An image that is damaged is replaced as there, and counted; a shard that is missing
    or short is refused at the start; a store that fails is asked again, with growing pauses.

    Args:
        data_root (str): Folder of shards with an ``index``, on a disk or with a protocol of fsspec
            (``s3://``, ``gs://``, ``https://``, ``memory://``).
        pipeline (Sequence): Transforms or their configs; :class:`LoadImage` takes the bytes.
        index (str, optional): Local folder of the index, where it does not lie with the shards.
            That of a store is copied to the user's cache once.

    Raises:
        FileNotFoundError: If there is no index, or a shard is missing.
        ValueError: If the index is damaged, or a shard has another size than it says.
        RuntimeError: If the store does not answer.
    """

    METAINFO = dict(dataset_type='ShardedImages')

    def __init__(
        self,
        data_root: str,
        pipeline: Sequence[dict | Callable] = (),
        index: str | None = None,
    ) -> None:
        self.data_root = os.path.expanduser(data_root)
        self.store = open_store(self.data_root)
        self.pipeline = Compose(
            [TRANSFORMS.build(step) if isinstance(step, dict) else step for step in pipeline]
        )
        self.index = ShardIndex(self._find_index(index))
        self._check_shards()
        self.metainfo = dict(self.METAINFO)
        self.scan_report = dict(images=len(self.index), other_files=0, left_out=self.index.left_out)
        self._groups: OrderedDict[tuple[int, int], Any] = OrderedDict()
        self._pool: tuple[int, ThreadPoolExecutor] | None = None
        self._coming: dict[int, Future] = {}
        print_log(
            f'{self.data_root!r}: {counted(len(self.index), "image")} in '
            f'{counted(len(self.index.shards), "shard")}.',
            logger='current',
        )

    def __getstate__(self) -> dict:
        return dict(vars(self), _pool=None, _coming={}, _groups=OrderedDict())

    def __len__(self) -> int:
        return len(self.index)

    def runs(self) -> np.ndarray:
        """See :meth:`ShardIndex.runs`."""
        return self.index.runs()

    def _find_index(self, given: str | None) -> str:
        if given is not None:
            return os.path.expanduser(given)
        if isinstance(self.store, LocalStore):
            return os.path.join(self.store.root, INDEX)
        return _cached_index(self.store)

    def _check_shards(self) -> None:
        """Look whether all shards are there, and as long as they were."""
        for shard in self.index.shards:
            path, found = f'{self.data_root}/{shard["name"]}', self.store.size(shard['name'])
            if found is None:
                raise FileNotFoundError(
                    f'data_root: the shard {path!r} is missing; put it back, or make the index '
                    'anew with tools/dataset_tools/make_shards.py'
                )
            if found != shard['bytes']:
                raise InputError(
                    f'data_root: the shard {path!r} has {found} bytes, not {shard["bytes"]} as '
                    'when it was indexed: it is cut short or another one; copy it again, or make '
                    'the index anew with tools/dataset_tools/make_shards.py'
                )

    def get_data_info(self, idx: int) -> dict:
        """``img_path`` (data root and name, for people) and ``sample_idx`` of an image."""
        name = self.index[int(idx)].name
        return dict(img_path=os.path.join(self.data_root, name), sample_idx=int(idx))

    def get_encoded(self, idx: int) -> dict:
        """What :meth:`get_data_info` gives, and ``img_bytes``, the content of the image's file.

        Raises:
            UnreadableImageError: If the shard no longer holds it.
        """
        return dict(self.get_data_info(idx), img_bytes=self._bytes(self.index[int(idx)], None))

    def __getitem__(self, key: int | SampleKey) -> dict:
        """Sample at an index, or at a ``SampleKey`` after seeding from it."""
        return self.__getitems__([key])[0]

    def __getitems__(self, keys: Sequence[int | SampleKey]) -> list[dict]:
        """Samples; from a store the bytes of later ones come while the first are decoded.

        Those of the next batch do so too, where the keys tell which they are.
        """
        places = [key.index if isinstance(key, SampleKey) else int(key) for key in keys]
        waiting: list[Future | None] = [None] * len(keys)
        if not isinstance(self.store, LocalStore):
            self._threads()  # of this process, with nothing on its way that a parent asked for
            waiting = [self._coming.pop(place, None) or self._fetch(place) for place in places]
            if len(self._coming) > _MOST_COMING:  # of an epoch that was broken off
                self._coming.clear()
            for place in (getattr(key, 'ahead', -1) for key in keys):
                future = self._fetch(place) if place >= 0 else None
                if future is not None:
                    self._coming[place] = future
        samples = []
        for key, place, future in zip(keys, places, waiting, strict=True):
            if isinstance(key, SampleKey):
                seed_everything_from(key)
            samples.append(self._sample(place, future))
        return samples

    def _fetch(self, place: int) -> Future | None:
        """Begin to read an image of a tar file; row groups of parquet are read together."""
        entry = self.index[place]
        if self.index.shards[entry.shard]['kind'] != 'tar':
            return None
        return self._threads().submit(self._read_tar, entry)

    def _threads(self) -> ThreadPoolExecutor:
        if self._pool is None or self._pool[0] != os.getpid():
            self._pool, self._coming = (os.getpid(), ThreadPoolExecutor(_THREADS)), {}
        return self._pool[1]

    def _sample(self, idx: int, future: Future | None) -> dict:
        """Run the pipeline on an image or, as long as they are unreadable, on another one."""
        skipped: list[tuple[str, str]] = []
        for _ in range(_TRIES + 1):
            entry = self.index[idx]
            info = self.get_data_info(idx)
            info['skipped'] = skipped
            try:
                info['img_bytes'] = self._bytes(entry, future)
                return self.pipeline(info)
            except UnreadableImageError as error:
                where = f'{self.data_root}/{self.index.shards[entry.shard]["name"]}'
                skipped.append((f'{where}: {entry.name}', error.reason))
                idx, future = np.random.randint(0, len(self)), None
        path, reason = skipped[-1]
        raise RunError(
            f'{len(skipped)} images drawn one after another from {self.data_root!r} cannot be '
            f'read, the last being {path!r} ({reason}); check the shards with '
            'tools/dataset_tools/make_shards.py --verify'
        )

    def _bytes(self, entry: Entry, future: Future | None) -> bytes:
        if self.index.shards[entry.shard]['kind'] == 'parquet':
            return self._read_parquet(entry)
        data = self._read_tar(entry) if future is None else future.result()
        if len(data) != entry.size:
            raise UnreadableImageError(
                entry.name, f'the shard ends {entry.size - len(data)} bytes too early'
            )
        if zlib.crc32(data) != entry.crc:
            raise UnreadableImageError(entry.name, 'damaged: its bytes are not those of the index')
        return data

    def _read_tar(self, entry: Entry) -> bytes:
        return self.store.read(self.index.shards[entry.shard]['name'], entry.offset, entry.size)

    def _read_parquet(self, entry: Entry) -> bytes:
        """The image in a row; whole row groups are read, which neighbours share."""
        key = entry.shard, entry.offset
        if key not in self._groups:
            name = self.index.shards[entry.shard]['name']
            self._groups[key] = read_row_group(self.store, name, entry.offset)
            if len(self._groups) > _ROW_GROUPS:
                self._groups.popitem(last=False)
        self._groups.move_to_end(key)
        data = self._groups[key][entry.size].as_py()
        if not data:
            raise UnreadableImageError(entry.name, 'the row has no bytes')
        return data


def read_row_group(store: Any, name: str, group: int) -> Any:
    """Image bytes of a row group of a Hugging Face parquet file, as an array of Arrow.

    Raises:
        ImportError: If pyarrow is not installed.
        RuntimeError: If the file is damaged.
    """
    with needing('parquet shards need pyarrow: pip install pyarrow'):
        import pyarrow as pa
        import pyarrow.parquet as pq
    try:
        with store.open(name) as file:
            table = pq.ParquetFile(file).read_row_group(group, columns=['image'])
    except (pa.ArrowException, OSError) as error:
        raise RunError(
            f'row group {group} of the shard {name!r} cannot be read: '
            f'{" ".join(str(error).split())}; copy the shard again, then go on with --resume'
        ) from error
    column = table.column('image').combine_chunks()
    return column.field('bytes') if pa.types.is_struct(column.type) else column


def _cached_index(store: Any) -> str:
    """The local copy of the index of a store; it is fetched if it is not there or was changed."""
    about = store.read(f'{INDEX}/{FILES[0]}', 0, 2**30)
    key = hashlib.sha256(store.root.encode() + about).hexdigest()[:24]
    cache = os.environ.get('XDG_CACHE_HOME') or os.path.expanduser('~/.cache')
    folder = os.path.join(cache, 'mmc_plugin', 'shards', key)
    if not os.path.isdir(folder):
        with written_whole(folder) as temporary:
            os.mkdir(temporary)
            for name in FILES:
                with store.open(f'{INDEX}/{name}') as source:
                    with open(os.path.join(temporary, name), 'wb') as target:
                        while block := source.read(2**24):
                            target.write(block)
    return folder
