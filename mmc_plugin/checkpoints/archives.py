"""Unpacks archives that hold one checkpoint, and nothing outside a temporary folder."""

from __future__ import annotations

import gzip
import os
import os.path as osp
import shutil
import stat
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import IO, Any

from .checkpoint import Checkpoint
from .huggingface import read_directory

_WEIGHTS = ('.pth', '.pt', '.bin', '.safetensors', '.onnx', '.ckpt', '.pth.tar')
# Beside the weights of a folder of Hugging Face.
_DESCRIPTIONS = ('config.json', 'preprocessor_config.json', '.index.json')
# Weights hardly compress at all; what grows more than this was made to.
_MOST_GROWTH = 100
_BROKEN = (
    EOFError, NotImplementedError, gzip.BadGzipFile, tarfile.TarError,
    zipfile.BadZipFile, zlib.error,
)  # fmt: skip


def read_archive(
    path: str, allow_pickle: bool, read_file: Callable[[str, bool], Checkpoint]
) -> Checkpoint:
    """Read the checkpoint in an archive.

    An archive is refused as a whole if it has a name that leaves its folder, a link or a device.
    The temporary folder is gone afterwards: tensors that are mapped from a file in it keep it.

    Args:
        path (str): A .tar, .tar.gz, .tgz or .zip with one checkpoint file or one folder of Hugging
            Face; other files are passed over.
        allow_pickle (bool): See :func:`~mmc_plugin.checkpoints.read_checkpoint`.
        read_file (Callable): Reads one file.

    Returns:
        Checkpoint: With the path and the hash of the archive.

    Raises:
        ValueError: If the archive is not read, and why.
    """
    with tempfile.TemporaryDirectory(prefix='mmc_checkpoint_') as folder:
        try:
            with _open(path) as archive:
                sizes = archive.sizes()
                chosen = _choose(path, sizes)
                _check_space(path, sum(sizes[name] for name in chosen), folder)
                for name in chosen:
                    target = osp.join(folder, osp.basename(name))
                    with archive.open(name) as file, open(target, 'xb') as copy:
                        _copy(path, file, copy, sizes[name])
        except _BROKEN as error:
            raise ValueError(f'the archive {path} is damaged or cut short ({error})') from None
        inside = osp.join(folder, osp.basename(chosen[0]))
        try:
            if len(chosen) == 1:
                checkpoint = read_file(inside, allow_pickle)
            else:
                checkpoint = read_directory(folder, allow_pickle, read_file)
        except (ValueError, FileNotFoundError) as error:
            text = str(error).replace(folder + os.sep, '').replace(folder, 'archive')
            raise ValueError(f'in the archive {path}: {text}') from None
        return replace(checkpoint, path=path, files=(path,))


def _choose(path: str, sizes: dict[str, int]) -> list[str]:
    """Names of the files that make up the checkpoint."""
    names = [name for name in sizes if not _is_litter(name)]
    configs = [name for name in names if osp.basename(name) == 'config.json']
    weights = [name for name in names if name.lower().endswith(_WEIGHTS)]
    if len(configs) == 1:
        folder = osp.dirname(configs[0])
        inside = [
            name for name in names
            if osp.dirname(name) == folder and name.lower().endswith(_WEIGHTS + _DESCRIPTIONS)
        ]  # fmt: skip
        if set(inside) & set(weights):
            return inside
    if len(weights) == 1:
        return weights
    found = ', '.join(sorted(weights)[:4]) or 'none'
    raise ValueError(
        f'the archive {path} does not hold one checkpoint (found: {found}): unpack it and give '
        'the file'
    )


def _is_litter(name: str) -> bool:
    return name.startswith('__MACOSX/') or osp.basename(name).startswith('._')


def _check_space(path: str, needed: int, folder: str) -> None:
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise ValueError(
            f'the archive {path} holds {needed / 1e6:,.0f} MB, and {free / 1e6:,.0f} MB are free '
            f'in {osp.dirname(folder)}: make room, or set TMPDIR to a folder on another disk'
        )


def _copy(path: str, file: IO[bytes], copy: IO[bytes], size: int) -> None:
    """Copy exactly ``size`` bytes; more than the archive said is not taken."""
    while block := file.read(1 << 20):
        size -= len(block)
        if size < 0:
            raise ValueError(f'the archive {path} is damaged: a file in it is larger than it says')
        copy.write(block)
    if size:
        raise ValueError(f'the archive {path} is cut short: download or copy it again')


def _check_name(path: str, name: str) -> None:
    parts = name.replace('\\', '/').split('/')
    if '..' in parts or parts[0] == '' or ':' in parts[0] or '\0' in name:
        raise ValueError(f'the archive {path} is refused: {name!r} in it lies outside its folder')


class _Members:
    """Sizes of the files in an archive, checked one by one as they are met."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.sizes: dict[str, int] = {}
        self.left = _MOST_GROWTH * osp.getsize(path) + (1 << 20)

    def add(self, name: str, size: int, regular: bool, folder: bool) -> None:
        _check_name(self.path, name)
        if folder:
            return
        if not regular:
            raise ValueError(
                f'the archive {self.path} is refused: {name!r} in it is a link or a device'
            )
        if name in self.sizes:
            raise ValueError(f'the archive {self.path} is refused: it holds {name!r} twice')
        self.grow(size)
        self.sizes[name] = size

    def grow(self, size: int) -> None:
        self.left -= size
        if self.left < 0:
            raise ValueError(
                f'the archive {self.path} is refused: it would grow more than {_MOST_GROWTH} '
                'times, as no weights do'
            )


class _Zip:
    def __init__(self, path: str, archive: zipfile.ZipFile) -> None:
        self.path, self.archive = path, archive

    def sizes(self) -> dict[str, int]:
        members = _Members(self.path)
        for entry in self.archive.infolist():
            mode = entry.external_attr >> 16
            # Archives that Unix did not make have no mode.
            regular = stat.S_IFMT(mode) in (0, stat.S_IFREG)
            members.add(entry.filename, entry.file_size, regular, entry.is_dir())
            if entry.flag_bits & 1:
                raise ValueError(f'the archive {self.path} is encrypted: unpack it yourself')
        return members.sizes

    def open(self, name: str) -> IO[bytes]:
        return self.archive.open(name)


class _Tar:
    def __init__(self, path: str, archive: tarfile.TarFile) -> None:
        self.path, self.archive = path, archive

    def sizes(self) -> dict[str, int]:
        members = _Members(self.path)
        for entry in self.archive:
            regular = entry.isreg() and not entry.issparse()
            members.add(entry.name, entry.size, regular, entry.isdir())
        while block := self.archive.fileobj.read(1 << 16):  # the checksum of gzip is the last
            members.grow(len(block))
        return members.sizes

    def open(self, name: str) -> IO[bytes]:
        return self.archive.extractfile(name)


@contextmanager
def _open(path: str) -> Iterator[Any]:
    with open(path, 'rb') as file:
        is_zip = file.read(2) == b'PK'  # zipfile would find one that lies at the end of a tar
    if is_zip:
        with zipfile.ZipFile(path) as archive:
            yield _Zip(path, archive)
    else:
        with _decompressed(path) as stream:
            limited = _Limited(stream, path)
            with tarfile.open(fileobj=limited, mode='r:') as archive:
                yield _Tar(path, archive)


def _decompressed(path: str) -> IO[bytes]:
    with open(path, 'rb') as file:
        compressed = file.read(2) == b'\x1f\x8b'
    return (gzip.open if compressed else open)(path, 'rb')


class _Limited:
    """A stream that gives out no more than an archive of its size may hold.

    tarfile reads the headers of a member, whose length the archive names, in one piece.
    """

    def __init__(self, stream: IO[bytes], path: str) -> None:
        self.stream = stream
        self.members = _Members(path)
        self.tell, self.seek = stream.tell, stream.seek

    def read(self, size: int) -> bytes:
        if self.tell() + size > self.members.left:
            self.members.grow(self.members.left + 1)
        try:
            return self.stream.read(size)
        except OSError as error:
            if error.errno is not None:  # of the disk
                raise
            raise tarfile.ReadError(str(error)) from None
