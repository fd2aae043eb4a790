"""What a pickle may hold: checked before a byte of it is obeyed, and read without its classes."""

from __future__ import annotations

import argparse
import io
import math
import pickle
import pickletools
import re
import struct
import zipfile
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO, NamedTuple

import torch

from ..errors import InputError
from .tuples import PLAIN, TupleSizes

# What reading arbitrary bytes ends in.
OF_JUNK = (
    ArithmeticError, AssertionError, AttributeError, EOFError, LookupError, MemoryError,
    RuntimeError, TypeError, ValueError, pickle.UnpicklingError, struct.error, zipfile.BadZipFile,
)  # fmt: skip
LARGEST_PICKLE = 1 << 28  # that of a run of ViT-H with its optimiser is under 1 MiB

# The opcodes that torch's weights-only reader takes.
_OPCODES = frozenset('()NQR]abestu}hqKMJjGcrUX.\x80\x81\x85\x86\x87\x88\x89\x8a\x8f')
# The frequent ones: those that only push, with their length, and those of one byte.
_PUSHED = dict(zip(b')N]}\x88\x89\x8fKMJG', (1, 1, 1, 1, 1, 1, 1, 2, 3, 5, 9)))
_BARE = {code: chr(code) for code in b'(tRsQ\x85\x86'}
_BINUNICODE, _BINGET, _LONG_BINGET, _LONG_BINPUT = b'Xhjr'
_uint4 = struct.Struct('<I').unpack_from
# Their calls take a storage, an offset, a size and a stride.
_REBUILDERS = ('_rebuild_tensor', '_rebuild_tensor_v2', '_rebuild_tensor_v3', '_rebuild_qtensor')
_LARGE_TUPLE = 'a tuple larger than any that weights need'
_PLAIN_NUMBERS = re.compile(r'[<>|=]?([biufcSU]\d+)')


class RefusedPickleError(InputError):
    """A pickle that no weights need; the text ends the sentence "... it holds"."""


def skip_pickle(file: BinaryIO) -> None:
    """Walk over the opcodes of a pickle without obeying them.

    Python's unpickler allocates what an index in it claims; here it is compared with the bytes.
    The position of the file, which is at the pickle's beginning, moves behind its end.

    Raises:
        RefusedPickleError: If it has an opcode that is not for weights, an impossible index or
            a tuple that would take long to hash.
        ValueError: If it is damaged or cut short.
    """
    start, sizes = file.tell(), TupleSizes()
    data = file.getbuffer() if isinstance(file, io.BytesIO) else file
    stack, memo, position, code = sizes.stack, sizes.memo, start, ''
    # Frequent opcodes are followed here, in half of the time that pickletools takes with them.
    while code != '.':
        if position - start > LARGEST_PICKLE:
            raise RefusedPickleError(f'an outline of more than {LARGEST_PICKLE:,} bytes')
        byte = data[position]
        if byte == _LONG_BINPUT:
            (index,) = _uint4(data, position + 1)
            memo[index] = stack[-1]
            if index > position - start:
                raise RefusedPickleError('a pickle that takes more memory than it has bytes')
            position += 5
        elif byte in _PUSHED:
            stack.append(PLAIN)
            position += _PUSHED[byte]
        elif byte in _BARE:
            if not sizes.follow(_BARE[byte]):
                raise RefusedPickleError(_LARGE_TUPLE)
            position += 1
        elif byte == _BINGET:
            stack.append(memo[data[position + 1]])
            position += 2
        elif byte == _BINUNICODE:
            stack.append(PLAIN)
            (length,) = _uint4(data, position + 1)
            text = data[position + 5 : position + 5 + length]  # shorter at the end of the data
            str(text, 'utf-8', 'surrogatepass')
            position += 5 + len(text)
        elif byte == _LONG_BINGET:
            stack.append(memo[_uint4(data, position + 1)[0]])
            position += 5
        else:
            file.seek(position)
            opcode, argument, _ = next(pickletools.genops(file))
            code = opcode.code
            if opcode.name == 'PROTO' and argument > 3:
                raise RefusedPickleError(
                    f'a pickle of protocol {argument}, where torch.save takes protocol 2'
                )
            if code not in _OPCODES:
                raise RefusedPickleError('a pickle with operations that no weights need')
            if not sizes.follow(code, argument):
                raise RefusedPickleError(_LARGE_TUPLE)
            position = file.tell()
    file.seek(position)


def read_outline(pickled: bytes) -> tuple[Any, dict[str, int]]:
    """The dictionaries, numbers and texts of a pickle of torch, with stand-ins for all else.

    Nothing is imported, called or allocated, and the places of all tensors are compared with the
    sizes of their storages.

    Returns:
        tuple[Any, dict[str, int]]: What it holds, and storage's key → bytes that it claims.

    Raises:
        RefusedPickleError: See :func:`skip_pickle`.
        ValueError: If a tensor reaches beyond its storage.
        Exception: Of many kinds, see :data:`OF_JUNK`, if the pickle is damaged.
    """
    skip_pickle(io.BytesIO(pickled))
    reader = _OutlineUnpickler(io.BytesIO(pickled), encoding='utf-8')
    return reader.load(), reader.storages


@contextmanager
def allow_stand_ins() -> Iterator[None]:
    """Inside: torch's weights-only reader takes the logs and settings that runs save.

    It finds inert classes under the names of numpy's scalars and arrays, of paths and of mmengine's
    history buffers, and ``argparse.Namespace`` and, as newer versions of torch do, ``set`` and
    ``complex`` themselves, which do nothing but hold values. Each
    refuses what could do harm if the real one was called, so that a file that was read like this
    is safe in an unpickler without such limits too: ``getattr`` finds the methods of the history
    buffer and no other attribute, arrays hold plain numbers and strings.
    """
    before = [*torch.serialization.get_safe_globals()]  # before torch 2.6 their list itself
    torch.serialization.add_safe_globals([argparse.Namespace, set, complex, *_STAND_INS])
    try:
        yield
    finally:
        # torch.serialization.safe_globals would do this, but is younger than torch 2.4.
        torch.serialization.clear_safe_globals()
        torch.serialization.add_safe_globals(before)


class _Storage(NamedTuple):
    dtype: torch.dtype
    size: int  # in bytes


class _OutlineUnpickler(pickle.Unpickler):
    """Follows a pickle with stand-ins for all that it names."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.storages: dict[str, int] = {}

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ('collections', 'OrderedDict'):
            return _Ordered
        if module == 'torch._utils' and name in _REBUILDERS:
            return _check_tensor
        if (module, name) == ('torch._tensor', '_rebuild_from_type_v2'):
            return lambda function, kind, arguments, state: function(*arguments)
        if module in ('torch', 'torch.storage') and name.endswith('Storage'):
            return torch.uint8 if name == 'UntypedStorage' else getattr(torch, name)._dtype
        if module == 'torch' and isinstance(getattr(torch, name, None), torch.dtype):
            return getattr(torch, name)
        if module.split('.')[0] == 'torch' or module in ('builtins', '__builtin__'):
            if name.endswith('Tensor') or name == 'bytearray':
                return None  # may be named, not called: it would allocate what it is told
        return _Inert

    def persistent_load(self, pid: Any) -> _Storage:
        # ('storage', type, key, location, number of elements[, view]) by torch.save.
        dtype, key, number = pid[1], pid[2], pid[4]
        if number < 0:
            raise ValueError('a storage of negative size')
        self.storages[key] = max(self.storages.get(key, 0), number * dtype.itemsize)
        if len(pid) > 5 and pid[5] is not None:
            offset, number = pid[5][1:]
            if offset < 0 or (offset + number) * dtype.itemsize > self.storages[key]:
                raise ValueError('a view beyond its storage')
        return _Storage(dtype, number * dtype.itemsize)


def _check_tensor(
    storage: _Storage, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *rest: Any
) -> _Inert:
    dtypes = [item for item in rest if isinstance(item, torch.dtype)]
    element = (dtypes or [storage.dtype])[-1].itemsize
    if min((offset, *size, *stride)) < 0 or len(size) != len(stride):
        raise ValueError('a tensor with a negative size')
    if 0 not in size:
        last = offset + sum((n - 1) * step for n, step in zip(size, stride))
        # The second: whoever makes a copy of it takes memory for each element, however many lie
        # at the same place.
        if max(last + 1, math.prod(size)) * element > storage.size:
            raise ValueError('a tensor larger than its storage')
    return _Inert()


class _Ordered(OrderedDict):
    """Takes pairs as Python 2 wrote them, if their keys are no tuples; see :class:`TupleSizes`."""

    def __init__(self, pairs: Any = ()) -> None:
        if any(isinstance(key, tuple) for key, _ in pairs):
            raise RefusedPickleError('an ordered dictionary with tuples for keys')
        super().__init__(pairs)


class _Inert:
    """Stands for a class or function that a pickle names; takes what comes and forgets it."""

    def __new__(cls, *args: Any, **kwargs: Any) -> _Inert:
        return super().__new__(cls)

    def __call__(self, *args: Any, **kwargs: Any) -> _Inert:
        return self

    __init__ = __setstate__ = __setitem__ = append = extend = lambda self, *args, **kwargs: None


def _getattr(cls: Any, owner: Any, name: Any) -> str:
    if owner is not _HISTORY or name not in ('current', 'max', 'mean', 'min'):
        raise RefusedPickleError(f'getattr of {name}, code that would run on reading')
    return f'HistoryBuffer.{name}'  # a text can neither be called nor be given a state


def _dtype(cls: Any, name: Any, *args: Any) -> _Inert:
    if not (isinstance(name, str) and _PLAIN_NUMBERS.fullmatch(name)):
        raise RefusedPickleError(f'numpy arrays of {name!r}, not plain numbers')
    return _Inert.__new__(cls)


def _set_dtype(self: _Inert, state: Any) -> None:
    # (version, byte order, None, None, None, -1, -1, 0): None where a structured type has fields.
    if not isinstance(state, tuple) or state[2:5] != (None, None, None):
        raise RefusedPickleError('numpy arrays with fields, not plain numbers')


def _stand_in(path: str, **members: Any) -> type:
    module, _, name = path.rpartition('.')
    return type(name, (_Inert,), dict(__module__=module, **members))


_HISTORY = _stand_in('mmengine.logging.history_buffer.HistoryBuffer')
_INERT = (
    'numpy.ndarray', 'numpy._core.multiarray._reconstruct', 'numpy._core.multiarray.scalar',
    'numpy.core.multiarray._reconstruct', 'numpy.core.multiarray.scalar',  # before numpy 2
    'pathlib.PosixPath', 'pathlib.PurePosixPath', 'pathlib.WindowsPath', 'pathlib.PureWindowsPath',
)  # fmt: skip
_STAND_INS = [
    _HISTORY,
    _stand_in('builtins.getattr', __new__=_getattr),
    _stand_in('numpy.dtype', __new__=_dtype, __setstate__=_set_dtype),
    *map(_stand_in, _INERT),
]
