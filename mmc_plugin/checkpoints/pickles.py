"""What a pickle may hold: checked before a byte of it is obeyed, and read without its classes."""

from __future__ import annotations

import argparse
import io
import math
import pickle
import re
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

# The opcodes that torch's weights-only reader takes, with their arguments; many at once, for speed.
_RUN = re.compile(
    rb"""(?:
        [()NQR\]abestu}\x81\x85-\x89\x8f]  # no argument
        | [hKq]. | M.. | [Jj].{4} | G.{8}
        | r..\0\0  # LONG_BINPUT of a small index
        | c[^\n]*\n[^\n]*\n  # GLOBAL
    ){1,1000}""",
    re.DOTALL | re.VERBOSE,
)
_CUT = frozenset(b'hKqMJjGc')  # of these, for the data to end within the argument
# Those whose argument is preceded by its length, and the bytes of that length.
_COUNTED = {pickle.SHORT_BINSTRING[0]: 1, pickle.LONG1[0]: 1, pickle.BINUNICODE[0]: 4}
_LONG_BINPUT, _PROTO, _STOP = pickle.LONG_BINPUT[0], pickle.PROTO[0], pickle.STOP[0]

_ELEMENT_BYTES = dict(
    Bool=1, Byte=1, Char=1, Untyped=1, BFloat16=2, Half=2, Short=2, Float=4, Int=4,
    ComplexFloat=8, Double=8, Long=8, ComplexDouble=16, QInt8=1, QUInt8=1, QInt32=4,
)  # fmt: skip
# Their calls take a storage, an offset, a size and a stride.
_REBUILDERS = ('_rebuild_tensor', '_rebuild_tensor_v2', '_rebuild_tensor_v3', '_rebuild_qtensor')
_PLAIN_NUMBERS = re.compile(r'[<>|=]?([biufcSU]\d+)')


class RefusedPickleError(ValueError):
    """A pickle that no weights need; the text ends the sentence "... it holds"."""


def end_of_pickle(data: Any, start: int = 0) -> int:
    """Walk over the opcodes of a pickle without obeying them.

    Python's unpickler allocates what a length or an index in it claims before it looks whether the
    bytes are there; here the claims are compared with the bytes.

    Args:
        data (bytes-like): With a pickle at ``start``.
        start (int): Where it begins.

    Returns:
        int: Position behind the pickle.

    Raises:
        EOFError: If the data end before the pickle does.
        RefusedPickleError: If it has an opcode that is not for weights, or an impossible index.
    """
    position, size = start, len(data)
    while position < size:
        run = _RUN.match(data, position)
        if run:
            position = run.end()
            continue
        code = data[position]
        if code == _STOP:
            return position + 1
        if code in _COUNTED:
            begin = position + 1 + _COUNTED[code]
            position = begin + int.from_bytes(data[position + 1 : begin], 'little')
        elif code == _PROTO:
            if data[position + 1 : position + 2] > b'\x03':
                raise RefusedPickleError(
                    f'a pickle of protocol {data[position + 1]}, where torch.save takes protocol 2'
                )
            position += 2
        elif code == _LONG_BINPUT:
            index = int.from_bytes(data[position + 1 : position + 5], 'little')
            if index > position - start:
                raise RefusedPickleError('a pickle that takes more memory than it has bytes')
            position += 5
        elif code in _CUT:
            raise EOFError
        else:
            raise RefusedPickleError('a pickle with operations that no weights need')
    raise EOFError


def claimed_storages(pickled: bytes) -> dict[str, int]:
    """The storages that a pickle of torch refers to, with none of them allocated.

    The places of all tensors are compared with the sizes of their storages.

    Args:
        pickled (bytes): A pickle that :func:`end_of_pickle` has passed.

    Returns:
        dict[str, int]: Key of each storage → bytes that the pickle claims for it.

    Raises:
        ValueError: If a tensor reaches beyond its storage.
        Exception: Of many kinds, if the pickle is damaged.
    """
    reader = _OutlineUnpickler(io.BytesIO(pickled), encoding='utf-8')
    reader.load()
    return reader.storages


@contextmanager
def allow_stand_ins() -> Iterator[None]:
    """Inside: torch's weights-only reader takes the logs and settings that runs save.

    It finds inert classes under the names of numpy's scalars and arrays, of paths and of mmengine's
    history buffers, and ``argparse.Namespace`` itself, which does nothing but hold values. Each
    refuses what could do harm if the real one was called, so that a file that was read like this
    is safe in an unpickler without such limits too: ``getattr`` finds the methods of the history
    buffer and no other attribute, arrays hold plain numbers and strings.
    """
    before = torch.serialization.get_safe_globals()
    torch.serialization.add_safe_globals([argparse.Namespace, *_STAND_INS])
    try:
        yield
    finally:
        # torch.serialization.safe_globals would do this, but is younger than torch 2.4.
        torch.serialization.clear_safe_globals()
        torch.serialization.add_safe_globals(before)


class _OutlineUnpickler(pickle.Unpickler):
    """Follows a pickle with stand-ins for all that it names."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.storages: dict[str, int] = {}

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ('collections', 'OrderedDict'):
            return OrderedDict
        if module == 'torch._utils' and name in _REBUILDERS:
            return _check_tensor
        if (module, name) == ('torch._tensor', '_rebuild_from_type_v2'):
            return lambda function, kind, arguments, state: function(*arguments)
        if module in ('torch', 'torch.storage') and name.endswith('Storage'):
            return _ElementBytes(_ELEMENT_BYTES[name.removesuffix('Storage')])
        if module.split('.')[0] == 'torch' or module in ('builtins', '__builtin__'):
            kind = getattr(torch, name, None) if module == 'torch' else None
            if isinstance(kind, torch.dtype):
                return _ElementBytes(kind.itemsize)
            if name.endswith('Tensor') or name == 'bytearray':
                return None  # may be named, not called: it would allocate what it is told
        return _Inert

    def persistent_load(self, pid: Any) -> _Storage:
        # ('storage', type, key, location, number of elements[, view]) by torch.save.
        element, key, number = pid[1], pid[2], pid[4]
        if number < 0:
            raise ValueError('a storage of negative size')
        self.storages[key] = max(self.storages.get(key, 0), number * element.bytes)
        if len(pid) > 5 and pid[5] is not None:
            offset, number = pid[5][1:]
            if offset < 0 or (offset + number) * element.bytes > self.storages[key]:
                raise ValueError('a view beyond its storage')
        return _Storage(element.bytes, number * element.bytes)


class _ElementBytes:
    def __init__(self, size: int) -> None:
        self.bytes = size


class _Storage:
    def __init__(self, element_bytes: int, total_bytes: int) -> None:
        self.element_bytes, self.total_bytes = element_bytes, total_bytes


def _check_tensor(
    storage: _Storage, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *rest: Any
) -> _Inert:
    element = storage.element_bytes
    for item in rest:
        if isinstance(item, _ElementBytes):
            element = item.bytes
    if min((offset, *size, *stride)) < 0 or len(size) != len(stride):
        raise ValueError('a tensor with a negative size')
    if 0 not in size:
        last = offset + sum((n - 1) * step for n, step in zip(size, stride))
        # The second: whoever makes a copy of it takes memory for each element, however many lie
        # at the same place.
        if max(last + 1, math.prod(size)) * element > storage.total_bytes:
            raise ValueError('a tensor larger than its storage')
    return _Inert()


class _Inert:
    """Stands for a class or function that a pickle names; takes what comes and forgets it."""

    def __new__(cls, *args: Any, **kwargs: Any) -> _Inert:
        return super().__new__(cls)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Accept any arguments."""

    def __setstate__(self, state: Any) -> None:
        """Forget the state."""

    def __call__(self, *args: Any, **kwargs: Any) -> _Inert:
        return self

    def __setitem__(self, key: Any, value: Any) -> None:
        """Forget the item."""

    def append(self, item: Any) -> None:
        """Forget the item."""

    def extend(self, items: Any) -> None:
        """Forget the items."""


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
_STAND_INS = (
    _HISTORY,
    _stand_in('builtins.getattr', __new__=_getattr),
    _stand_in('numpy.dtype', __new__=_dtype, __setstate__=_set_dtype),
    *map(
        _stand_in,
        (
            'numpy.ndarray',
            'numpy._core.multiarray._reconstruct',  # numpy 2
            'numpy._core.multiarray.scalar',
            'numpy.core.multiarray._reconstruct',  # numpy 1
            'numpy.core.multiarray.scalar',
            'pathlib.PosixPath',
            'pathlib.PurePosixPath',
            'pathlib.WindowsPath',
            'pathlib.PureWindowsPath',
        ),
    ),
)
