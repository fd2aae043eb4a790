"""Where each image lies in the shards: columns on the disk, mapped into memory and never copied."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ...durable import written_whole
from ...errors import InputError

INDEX = 'index'  # folder beside the shards
_ABOUT = 'shards.json'
# Column → type. Entries of a shard follow each other; names are UTF-8, one after the other.
_COLUMNS = dict(
    offset=np.int64,  # of the first byte in a tar file; number of the row group in parquet
    size=np.int64,  # bytes in a tar file; number of the row in its group in parquet
    crc=np.uint32,  # CRC-32 of the bytes in a tar file; 0 in parquet, which has its own
    name_end=np.int64,
)
_NAMES = 'names'
_VERSION = 1
FILES = (_ABOUT, *(f'{name}.npy' for name in (*_COLUMNS, _NAMES)))


class Entry(NamedTuple):
    """One image."""

    shard: int
    offset: int
    size: int
    crc: int
    name: str


class ShardIndex:
    """The entries of all shards of a folder.

    What is read of it is paged in by the system and shared by all processes; a copy of this
    object, sent to another process, opens the same files again.

    Args:
        folder (str): What :func:`write_index` has written.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If it is not whole, or of another version.
    """

    def __init__(self, folder: str) -> None:
        self.folder = folder
        try:
            about = json.loads(Path(folder, _ABOUT).read_text())
        except FileNotFoundError:
            raise FileNotFoundError(
                f'there is no index {folder!r}: make it with tools/dataset_tools/make_shards.py'
            ) from None
        except ValueError as error:
            raise _broken(folder, str(error)) from None
        if not isinstance(about, dict) or about.get('version') != _VERSION:
            raise _broken(folder, f'{_ABOUT} is not of version {_VERSION}')
        self.shards: list[dict[str, Any]] = about['shards']
        self.starts = np.cumsum([0, *(each['entries'] for each in self.shards)])
        self.left_out: dict[str, str] = about['left_out']
        self._open()

    def _open(self) -> None:
        self._columns = {}
        for name, kind in dict(_COLUMNS, **{_NAMES: np.uint8}).items():
            path = os.path.join(self.folder, f'{name}.npy')
            try:
                column = np.load(path, mmap_mode='r')
            except (OSError, ValueError) as error:
                raise _broken(self.folder, f'{name}.npy cannot be read ({error})') from None
            if column.dtype != kind or (name != _NAMES and column.shape != (len(self),)):
                raise _broken(self.folder, f'{name}.npy has the shape {column.shape}')
            self._columns[name] = column

    def __getstate__(self) -> dict:
        return {key: value for key, value in vars(self).items() if key != '_columns'}

    def __setstate__(self, state: dict) -> None:
        vars(self).update(state)
        self._open()

    def __len__(self) -> int:
        return int(self.starts[-1])

    def __getitem__(self, index: int) -> Entry:
        offset, size, crc, end = (int(self._columns[name][index]) for name in _COLUMNS)
        start = int(self._columns['name_end'][index - 1]) if index else 0
        name = self._columns[_NAMES][start:end].tobytes().decode(errors='surrogateescape')
        shard = int(np.searchsorted(self.starts, index, side='right')) - 1
        return Entry(shard, offset, size, crc, name)

    def runs(self) -> np.ndarray:
        """Where what is best read together begins, shards and row groups, and the end; int64."""
        starts = [self.starts]
        for number, shard in enumerate(self.shards):
            if shard['kind'] == 'parquet':
                groups = self._columns['offset'][self.starts[number] : self.starts[number + 1]]
                starts.append(self.starts[number] + 1 + np.flatnonzero(np.diff(groups)))
        return np.unique(np.concatenate(starts))


def write_index(
    folder: str,
    shards: Sequence[dict[str, Any]],
    entries: Iterable[tuple[int, int, int, str]],
    left_out: dict[str, str] | None = None,
) -> None:
    """Write an index, whole or not at all.

    Args:
        folder (str): Is made; what was there is replaced.
        shards (Sequence[dict]): Of each ``name``, ``kind`` (``'tar'`` or ``'parquet'``), ``bytes``,
            ``entries`` and, where it is known, ``sha256``.
        entries (Iterable): Offset, size, CRC and name of all entries, shard after shard.
        left_out (dict[str, str], optional): Path → reason of files that are in no shard.

    Raises:
        ValueError: If there is no entry.
    """
    number = sum(each['entries'] for each in shards)
    if not number:
        raise InputError(f'there is no image in the shards of {os.path.dirname(folder)!r}')
    with written_whole(folder) as temporary:
        os.mkdir(temporary)
        columns = {
            name: np.lib.format.open_memmap(
                os.path.join(temporary, f'{name}.npy'), 'w+', kind, (number,)
            )
            for name, kind in _COLUMNS.items()
        }
        names, end = bytearray(), 0
        for place, (offset, size, crc, name) in enumerate(entries):
            encoded = name.encode(errors='surrogateescape')
            names += encoded
            end += len(encoded)
            for column, value in zip(columns.values(), (offset, size, crc, end), strict=True):
                column[place] = value
        for column in columns.values():
            column.flush()
        np.save(os.path.join(temporary, f'{_NAMES}.npy'), np.frombuffer(names, np.uint8))
        about = dict(version=_VERSION, shards=list(shards), left_out=left_out or {})
        Path(temporary, _ABOUT).write_text(json.dumps(about, indent=1))


def _broken(folder: str, why: str) -> InputError:
    return InputError(
        f'the index {folder!r} is not whole: {why}; make it anew with '
        'tools/dataset_tools/make_shards.py'
    )
