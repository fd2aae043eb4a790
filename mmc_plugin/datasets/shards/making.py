"""Writes shards of a folder, and indexes shards that are there."""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from ...checkpoints.checkpoint import hash_files
from ...durable import TEMPORARY, replace_durably, write_durably
from ...errors import InputError, needing
from ...wording import counted
from ..image_tree import IMAGE_EXTENSIONS, extensions_for, scan_tree
from .index import INDEX, ShardIndex, write_index
from .stores import LocalStore, open_store

Row = tuple[int, int, int, str]  # offset, size, CRC, name
_PLAN = 'plan.json'


def write_shards(
    source: str, out: str, shard_bytes: int, say: Callable[[str], None], channels: int = 3
) -> int:
    """Write the images below a folder into tar shards and index them.

    Called again after it was interrupted it goes on with the first shard that is not done. Each
    shard is read back and compared before it gets its name. Members have the paths below
    ``source`` and its order, so that WebDataset reads them too.

    Args:
        source (str): As of :class:`~mmc_plugin.datasets.ImageTree`.
        out (str): Folder of the shards; is made.
        shard_bytes (int): About how many bytes a shard has.
        say (Callable): Takes a line for the user.
        channels (int): Other than 3: ``.npy`` files are images too.

    Returns:
        int: Images in the shards.

    Raises:
        FileNotFoundError: If ``source`` is no folder with images.
        ValueError: If ``out`` holds shards of other images.
    """
    if not os.path.isdir(source):
        raise FileNotFoundError(f'{source!r} is no folder of images')
    names, left_out, _ = scan_tree(source, extensions_for(channels))
    if not names:
        raise FileNotFoundError(f'there is no image in {source!r} or below')
    sizes = [os.path.getsize(os.path.join(source, name)) for name in names]
    plan = _split(sizes, shard_bytes)
    os.makedirs(out, exist_ok=True)
    _keep_to_plan(out, names, sizes, shard_bytes)
    shards, tables = [], []
    for number, (low, high) in enumerate(plan):
        path = os.path.join(out, f'shard-{number:06d}.tar')
        note = path + '.json'
        if os.path.exists(path) and os.path.exists(note):
            done = json.loads(Path(note).read_text())
        else:
            done = _write_shard(source, names[low:high], path, extensions_for(channels))
            write_durably(note, json.dumps(done))
            say(f'{path}: {counted(len(done["rows"]), "image")}')
        left_out |= {os.path.join(source, name): why for name, why in done['left_out'].items()}
        tables.append([tuple(row) for row in done['rows']])
        shards.append(dict(name=os.path.basename(path), kind='tar', bytes=done['bytes'],
                           entries=len(done['rows']), sha256=done['sha256']))  # fmt: skip
    write_index(os.path.join(out, INDEX), shards, (r for t in tables for r in t), left_out)
    for place, (path, why) in enumerate(sorted(left_out.items())):
        if not place:
            say('Left out, since they cannot be read:')
        say(f'  {path} ({why})')
    for number in range(len(plan)):  # all of it is in the index now
        os.remove(os.path.join(out, f'shard-{number:06d}.tar.json'))
    return sum(map(len, tables))


def _split(sizes: list[int], shard_bytes: int) -> list[tuple[int, int]]:
    """First and last + 1 of the files of each shard."""
    parts, low, total = [], 0, 0
    for place, size in enumerate(sizes):
        if total and total + size > shard_bytes:
            parts.append((low, place))
            low, total = place, 0
        total += size
    return [*parts, (low, len(sizes))]


def _keep_to_plan(out: str, names: list[str], sizes: list[int], shard_bytes: int) -> None:
    digest = hashlib.sha256(repr(shard_bytes).encode())
    for name, size in zip(names, sizes):
        digest.update(f'{name}\0{size}\0'.encode(errors='surrogateescape'))
    path, wanted = os.path.join(out, _PLAN), digest.hexdigest()
    if os.path.exists(path):
        if json.loads(Path(path).read_text()) != wanted:
            raise InputError(
                f'{out!r} was begun with other images or another --shard-size: name another folder'
            )
    elif any(name.endswith('.tar') for name in os.listdir(out)):
        raise InputError(f'{out!r} holds tar files already: name another folder')
    else:
        write_durably(path, json.dumps(wanted))


def _write_shard(
    source: str, names: list[str], path: str, extensions: tuple[str, ...]
) -> dict[str, Any]:
    temporary, left_out = path + TEMPORARY, {}
    digests: dict[str, int] = {}
    with tarfile.open(temporary, 'w', format=tarfile.PAX_FORMAT) as tar:
        for name in names:
            try:
                data = Path(source, name).read_bytes()
            except OSError as error:
                left_out[name] = error.strerror or str(error)
                continue
            member = tarfile.TarInfo(name)  # no times and owners: equal images, equal shards
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
            digests[name] = zlib.crc32(data)
    with open(temporary, 'rb') as file:
        rows = list(index_tar(file, path, extensions))
        file.seek(0)
        sha256 = hash_files([file])
    if {name: crc for _, _, crc, name in rows} != digests:
        raise OSError(f'what was written to {path!r} is not what is read back: check the disk')
    replace_durably(temporary, path)
    return dict(rows=rows, left_out=left_out, sha256=sha256, bytes=os.path.getsize(path))


def index_shards(root: str, out: str | None, say: Callable[[str], None], channels: int = 3) -> int:
    """Index tar and parquet files that are there, such as WebDataset's or ImageNet's own.

    Tar files within tar files are looked into, as ImageNet's training set has them: a class each,
    whose name becomes the folder of its images. Members that are no images by their name are left.

    Args:
        root (str): Folder of the files, on a disk or with a protocol of fsspec.
        out (str, optional): Local folder of the index; by default ``index`` in ``root``.
        say (Callable): Takes a line for the user.
        channels (int): As of :func:`write_shards`, for tar files.

    Returns:
        int: Images in the shards.

    Raises:
        FileNotFoundError: If there are no such files.
        ValueError: If one is damaged.
    """
    store = open_store(root)
    if isinstance(store, LocalStore) and not os.path.isdir(store.root):
        raise FileNotFoundError(f'{root!r} is no folder of shards')
    names = [name for name in store.names() if name.endswith(('.tar', '.parquet'))]
    if not names:
        raise FileNotFoundError(f'there is no .tar and no .parquet file in {root!r}')
    if out is None and not isinstance(store, LocalStore):
        raise InputError(f'an index of {root} needs a folder on this machine: name it with --out')
    shards, tables = [], []
    for name in names:
        kind, path = 'tar' if name.endswith('.tar') else 'parquet', f'{root}/{name}'
        with store.open(name) as file:
            if kind == 'tar':
                rows = list(index_tar(file, path, extensions_for(channels)))
            else:
                rows = list(index_parquet(file, path))
        say(f'{name}: {counted(len(rows), "image")}')
        tables.append(rows)
        shards.append(dict(name=name, kind=kind, bytes=store.size(name), entries=len(rows)))
    target = os.path.join(root, INDEX) if out is None else out
    write_index(target, shards, (row for table in tables for row in table))
    return sum(map(len, tables))


def index_tar(
    file: BinaryIO, path: str, extensions: tuple[str, ...] = IMAGE_EXTENSIONS
) -> Iterator[Row]:
    """Where the images of a tar file lie; its bytes are read once.

    Args:
        file (BinaryIO): Seekable.
        path (str): Of the file, for people.
        extensions (tuple[str, ...]): Ends of the names of images, in small letters.

    Raises:
        ValueError: If it is damaged.
    """
    file.seek(0, os.SEEK_END)
    yield from _index_tar(file, path, extensions, 0, file.tell(), '')


def _index_tar(
    file: BinaryIO, path: str, extensions: tuple[str, ...], start: int, size: int, folder: str
) -> Iterator[Row]:
    part = _Part(file, start, size)
    try:
        with tarfile.open(fileobj=part, mode='r:') as tar:
            for member in tar:
                offset, name = start + member.offset_data, member.name.removeprefix('./')
                if not member.isreg() or os.path.basename(name).startswith('.'):
                    continue
                if member.offset_data + member.size > size:
                    raise tarfile.ReadError(f'it ends within {name}')
                if name.endswith('.tar'):
                    inner = os.path.join(folder, name.removesuffix('.tar'))
                    yield from _index_tar(file, path, extensions, offset, member.size, inner)
                elif name.lower().endswith(extensions):
                    file.seek(offset)
                    crc = zlib.crc32(file.read(member.size))
                    yield offset, member.size, crc, os.path.join(folder, name)
            # What two empty blocks do not end was cut between two members.
            part.seek(tar.offset)
            if part.read(512).strip(b'\0') or tar.offset + 512 > size:
                raise tarfile.ReadError('it has no end')
    except (tarfile.TarError, EOFError) as error:
        raise InputError(
            f'the shard {path!r} is cut short or damaged ({error}): copy or make it again'
        ) from error


class _Part(io.RawIOBase):
    """Some bytes of a file, as a file."""

    def __init__(self, file: BinaryIO, start: int, size: int) -> None:
        super().__init__()
        self._file, self._start, self._size, self._at = file, start, size, 0

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        self._at = base + offset
        return self._at

    def read(self, size: int = -1) -> bytes:
        left = max(self._size - self._at, 0)
        self._file.seek(self._start + self._at)
        data = self._file.read(left if size < 0 else min(size, left))
        self._at += len(data)
        return data


def index_parquet(file: BinaryIO, path: str) -> Iterator[Row]:
    """Row groups and rows of a parquet file with a column ``image``, as Hugging Face writes it.

    Raises:
        ImportError: If pyarrow is not installed.
        ValueError: If it is damaged, or has no such column.
    """
    with needing('parquet shards need pyarrow: pip install pyarrow'):
        import pyarrow as pa
        import pyarrow.parquet as pq
    try:
        table = pq.ParquetFile(file)
        schema = table.schema_arrow
        kind = schema.field('image').type if 'image' in schema.names else None
        struct = kind is not None and pa.types.is_struct(kind)
        if not struct and not (kind is not None and pa.types.is_binary(kind)):
            raise InputError(
                f'the shard {path!r} has no column image with the bytes of files, but '
                f'{", ".join(schema.names)}'
            )
        has_paths = struct and kind.get_field_index('path') >= 0
        stem = Path(path).stem
        for group in range(table.num_row_groups):
            rows = table.metadata.row_group(group).num_rows
            paths = [None] * rows
            if has_paths:
                found = table.read_row_group(group, columns=['image.path'])
                paths = found.column('image').combine_chunks().field('path').to_pylist()
            for row, name in enumerate(paths):
                yield group, row, 0, f'{stem}/{name or f"{group}-{row}"}'
    except pa.ArrowException as error:
        raise InputError(
            f'the shard {path!r} is cut short or damaged ({" ".join(str(error).split())}): copy '
            'it again'
        ) from error


def verify_shards(root: str, say: Callable[[str], None]) -> list[str]:
    """Compare all bytes of local shards with their index.

    Returns:
        list[str]: What is wrong, one sentence a shard or image.
    """
    store, index, wrong = open_store(root), ShardIndex(os.path.join(root, INDEX)), []
    for number, shard in enumerate(index.shards):
        name, found = shard['name'], store.size(shard['name'])
        if found != shard['bytes']:
            wrong.append(f'{name} has {found or 0} bytes, not {shard["bytes"]}')
            continue
        with store.open(name) as file:
            if shard.get('sha256') and hash_files([file]) == shard['sha256']:
                say(f'{name}: whole')
                continue
        if shard['kind'] == 'parquet':
            continue
        before = len(wrong)
        for place in range(index.starts[number], index.starts[number + 1]):
            entry = index[place]
            if zlib.crc32(store.read(name, entry.offset, entry.size)) != entry.crc:
                wrong.append(f'{name}: {entry.name} is damaged')
        if len(wrong) == before and shard.get('sha256'):
            wrong.append(f'{name} is damaged between its images')
        elif len(wrong) == before:
            say(f'{name}: whole')
    return wrong
