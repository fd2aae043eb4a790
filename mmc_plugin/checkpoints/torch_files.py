"""Files of ``torch.save``, read without running code from them."""

from __future__ import annotations

import mmap
import pickle
import re
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import InputError
from .checkpoint import check_number
from .pickles import (
    LARGEST_PICKLE,
    OF_JUNK,
    RefusedPickleError,
    allow_stand_ins,
    read_outline,
    skip_pickle,
)

DOWNLOAD_AGAIN = 'download or copy it again'
_WAY_OUT = 'If you trust where it comes from, allow_pickle=True (--allow-pickle) reads it'
_LEGACY_MAGIC = pickle.dumps(0x1950A86A20F9469CFC6C, protocol=2)


def read_torch(path: str, legacy: bool, allow_pickle: bool = False) -> dict[str, Any]:
    """What was saved in a file of ``torch.save``, with the tensors on the CPU.

    Args:
        path (str): The file.
        legacy (bool): Whether it is in the format before torch 1.6, which is read into memory; else
            it is a zip archive, and the tensors are mapped from the disk.
        allow_pickle (bool): Run the code in it. Only for files from a source that is trusted.

    Raises:
        ValueError: With one sentence.
    """
    with _sentences(path):
        if legacy and not allow_pickle:
            _check_legacy(path)
        elif not legacy:
            with zipfile.ZipFile(path) as archive:
                (_find_outline if allow_pickle else zip_outline)(path, archive)
    if allow_pickle:
        content = _unpickle(path, mapped=not legacy)
    else:
        with _sentences(path), allow_stand_ins():
            content = torch.load(path, map_location='cpu', weights_only=True, mmap=not legacy)
    if not isinstance(content, dict):
        raise InputError(f'{path} holds a {type(content).__name__}, not the weights of a model')
    if _exceeds_storage(content):
        raise InputError(f'{path} is damaged: a tensor in it is larger than its storage')
    return content


def _unpickle(path: str, mapped: bool) -> Any:
    """Obey all that a file says."""
    try:
        content = torch.load(path, map_location='cpu', weights_only=False, mmap=mapped)
    except (OSError, ImportError, *OF_JUNK) as error:
        reason = str(error).strip().partition('\n')[0]
        raise InputError(
            f'{path} could not be unpickled ({type(error).__name__}: {reason}): it is damaged, or '
            'needs a package that is not installed'
        ) from error
    return content.state_dict() if isinstance(content, nn.Module) else content


def zip_outline(path: str, archive: zipfile.ZipFile) -> Any:
    """What a file of ``torch.save`` holds, without its tensors; see :func:`read_outline`.

    Args:
        path (str): The file, for sentences.
        archive (ZipFile): The same, open.

    Raises:
        RefusedPickleError: See :func:`read_outline`.
        InputError: If it is not such as torch writes, or a tensor claims more than is there.
        Exception: Of many kinds, see :data:`OF_JUNK`, if it is damaged.
    """
    outline = _find_outline(path, archive)
    if outline.file_size > LARGEST_PICKLE:
        raise InputError(f'{path} is damaged: its outline has {outline.file_size:,} bytes')
    content, claims = read_outline(archive.read(outline))
    folder = outline.filename.removesuffix('data.pkl')
    sizes = {entry.filename: entry.file_size for entry in archive.infolist()}
    for key, claimed in claims.items():
        there = sizes.get(f'{folder}data/{key}', 0)
        if claimed > there:
            raise InputError(
                f'{path} is damaged: a tensor in it claims {claimed:,} bytes where {there:,} are'
            )
    return content


def _find_outline(path: str, archive: zipfile.ZipFile) -> zipfile.ZipInfo:
    """The outline, if all entries are such as torch writes them."""
    entries = archive.infolist()
    check_number(path, len(entries))
    names = [entry.filename.lower() for entry in entries]
    if any(name.endswith('/constants.pkl') for name in names):
        raise InputError(
            f'{path} is a program of TorchScript, not a checkpoint: if you trust it, save '
            'torch.jit.load(path).state_dict() with torch.save and give that file'
        )
    outlines = [entry for entry, name in zip(entries, names) if name.endswith('/data.pkl')]
    if not outlines:
        raise InputError(
            f'{path} is an archive, not a checkpoint: unpack it and give what is in it'
        )
    if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
        raise InputError(
            f'{path} is compressed inside, which torch.save does not do and which would let it '
            'grow without bound: unpack it and save it with torch.save'
        )
    # Which of two a reader takes differs between readers.
    if len(set(names)) < len(names) or len(outlines) > 1:
        raise InputError(f'{path} is not what torch.save writes: it holds two entries of one name')
    return outlines[0]


def _check_legacy(path: str) -> None:
    """Refuse tensors that claim more than the file holds, before any is made."""
    with open(path, 'rb') as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        pickles = []
        for _ in range(5):  # magic number, version, system, the content, keys of storages
            start = data.tell()
            skip_pickle(data)
            pickles.append(data[start : data.tell()])
            if pickles[0] != _LEGACY_MAGIC:
                raise InputError(
                    f'{path} is a pickle that torch.save did not write, so it is not read: '
                    'save the weights with torch.save'
                )
        _, claims = read_outline(pickles[3])
        check_number(path, len(claims))
        needed = sum(claims.values()) + 8 * len(claims)  # each after its number of elements
        if needed > len(data) - data.tell():
            raise InputError(
                f'{path} is cut short or damaged: its tensors claim {needed:,} bytes where '
                f'{len(data) - data.tell():,} are; {DOWNLOAD_AGAIN}'
            )


def _exceeds_storage(content: Any) -> bool:
    """Whether a tensor in nested containers has more elements than there is memory for."""
    seen, left = set(), [content]
    while left:
        value = left.pop()
        if isinstance(value, Tensor):
            if value.layout == torch.strided and not value.is_meta:
                if value.nbytes > value.untyped_storage().nbytes():
                    return True
        elif isinstance(value, Mapping | list | tuple) and id(value) not in seen:
            seen.add(id(value))  # a pickle may hold a list that holds itself
            left += value.values() if isinstance(value, Mapping) else value
    return False


@contextmanager
def _sentences(path: str) -> Iterator[None]:
    """Inside: what reading a bad file raises becomes one sentence."""
    try:
        yield
    except PermissionError:
        raise
    except RefusedPickleError as error:
        raise InputError(f'{path} is not read: it holds {error}. {_WAY_OUT}') from None
    except InputError:
        raise
    except (OSError, *OF_JUNK) as error:  # what zipfile and pickle raise is of many kinds
        # torch's text is long, and only the name of the class in it helps.
        name = re.search(r'GLOBAL (\S+)', str(error))
        if name:
            raise InputError(
                f'{path} is not read: it holds {name[1]}, code that would run. {_WAY_OUT}'
            ) from None
        raise InputError(f'{path} is cut short or damaged: {DOWNLOAD_AGAIN}') from None
