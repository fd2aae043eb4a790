"""Files of ``torch.save``, read without running code from them."""

from __future__ import annotations

import mmap
import pickle
import re
import struct
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from .pickles import RefusedPickleError, allow_stand_ins, claimed_storages, end_of_pickle

DOWNLOAD_AGAIN = 'download or copy it again'
_WAY_OUT = 'If you trust where it comes from, allow_pickle=True (--allow-pickle) reads it'
_LEGACY_MAGIC = pickle.dumps(0x1950A86A20F9469CFC6C, protocol=2)
# What reading arbitrary bytes ends in.
_OF_JUNK = (
    ArithmeticError, AttributeError, EOFError, LookupError, MemoryError, RuntimeError, TypeError,
    ValueError, pickle.UnpicklingError, struct.error, zipfile.BadZipFile,
)  # fmt: skip
_LARGEST_PICKLE = 1 << 28  # that of a run of ViT-H with its optimiser is under 1 MiB


def is_torch_zip(names: list[str]) -> bool:
    """Whether a zip archive with members of these names is one that ``torch.save`` wrote."""
    return any(name.lower().endswith('/data.pkl') for name in names)


def read_torch_zip(path: str, allow_pickle: bool = False) -> Any:
    """Read a file of ``torch.save`` in its present format; the tensors are mapped from the disk.

    Args:
        path (str): A zip archive for which :func:`is_torch_zip` holds.
        allow_pickle (bool): Run the code in it. Only for files from a source that is trusted.

    Returns:
        Any: What was saved, with the tensors on the CPU.

    Raises:
        ValueError: With one sentence.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            sizes = _entries(path, archive)
            if not allow_pickle:
                _check_zip(path, archive, sizes)
    except zipfile.BadZipFile:
        raise ValueError(f'{path} is damaged: {DOWNLOAD_AGAIN}') from None
    return _load(path, allow_pickle, mmap=True)


def _entries(path: str, archive: zipfile.ZipFile) -> dict[str, int]:
    """Name → size of what is in a file of torch, all of it stored as it is."""
    entries = archive.infolist()
    names = [entry.filename.lower() for entry in entries]
    if any(name.endswith('/constants.pkl') for name in names):
        raise ValueError(
            f'{path} is a program of TorchScript, not a checkpoint: if you trust it, save '
            'torch.jit.load(path).state_dict() with torch.save and give that file'
        )
    if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
        raise ValueError(
            f'{path} is compressed inside, which torch.save does not do and which would let it '
            'grow without bound: unpack it and save it with torch.save'
        )
    # Which of two a reader takes differs between readers.
    if len(set(names)) < len(names) or sum(name.endswith('/data.pkl') for name in names) > 1:
        raise ValueError(f'{path} is not what torch.save writes: it holds two entries of one name')
    return {entry.filename: entry.file_size for entry in entries}


def _check_zip(path: str, archive: zipfile.ZipFile, sizes: dict[str, int]) -> None:
    """Refuse tensors that claim more than the file holds, before any is made."""
    outline = next(name for name in sizes if name.lower().endswith('/data.pkl'))
    if sizes[outline] > _LARGEST_PICKLE:
        raise ValueError(f'{path} is damaged: its outline has {sizes[outline]:,} bytes')
    pickled = archive.read(outline)
    with _sentences(path):
        end_of_pickle(pickled)
        claims = claimed_storages(pickled)
    folder = outline[: -len('data.pkl')] + 'data/'
    for key, claimed in claims.items():
        there = sizes.get(f'{folder}{key}', 0)
        if claimed > there:
            raise ValueError(
                f'{path} is damaged: a tensor in it claims {claimed:,} bytes where {there:,} are'
            )


def read_torch_legacy(path: str, allow_pickle: bool = False) -> Any:
    """Read a file of ``torch.save`` in its format before torch 1.6; see :func:`read_torch_zip`.

    This format cannot be mapped from the disk: the tensors are read into memory.
    """
    if not allow_pickle:
        _check_legacy(path)
    return _load(path, allow_pickle, mmap=False)


def _check_legacy(path: str) -> None:
    """Refuse tensors that claim more than the file holds, before any is made."""
    with open(path, 'rb') as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        position, pickles = 0, []
        with _sentences(path):
            magic = data[: end_of_pickle(data)]
        if magic != _LEGACY_MAGIC:
            raise ValueError(f'{path} is a pickle that torch.save did not write, so it is not read')
        with _sentences(path):
            for _ in range(5):  # magic number, version, system, the content, keys of storages
                start, position = position, end_of_pickle(data, position)
                if position - start > _LARGEST_PICKLE:
                    raise RefusedPickleError(f'an outline of {position - start:,} bytes')
                pickles.append(data[start:position])
            claims = claimed_storages(pickles[3])
        needed = sum(claims.values()) + 8 * len(claims)  # each after its number of elements
        if needed > len(data) - position:
            raise ValueError(
                f'{path} is cut short or damaged: its tensors claim {needed:,} bytes where '
                f'{len(data) - position:,} are; {DOWNLOAD_AGAIN}'
            )


def _load(path: str, allow_pickle: bool, mmap: bool) -> Any:
    if allow_pickle:
        return torch.load(path, map_location='cpu', weights_only=False, mmap=mmap)
    with _sentences(path), allow_stand_ins():
        return torch.load(path, map_location='cpu', weights_only=True, mmap=mmap)


@contextmanager
def _sentences(path: str) -> Iterator[None]:
    """Inside: what reading a bad file raises becomes one sentence."""
    try:
        yield
    except EOFError:
        raise ValueError(f'{path} is cut short: {DOWNLOAD_AGAIN}') from None
    except RefusedPickleError as error:
        raise ValueError(f'{path} is not read: it holds {error}. {_WAY_OUT}') from None
    except _OF_JUNK as error:
        # torch's text is long, and only the name of the class in it helps.
        name = re.search(r'GLOBAL (\S+)', str(error))
        if name:
            raise ValueError(
                f'{path} is not read: it holds {name[1]}, code that would run. {_WAY_OUT}'
            ) from None
        raise ValueError(f'{path} is damaged: {DOWNLOAD_AGAIN}') from None
