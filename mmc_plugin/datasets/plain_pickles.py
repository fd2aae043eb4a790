"""Pickles of numbers, texts and arrays, as data sets come in them, read without running code."""

from __future__ import annotations

import io
import math
import os
import pickle
import pickletools
from collections.abc import Callable
from typing import Any

import numpy as np

from ..checkpoints.pickles import LARGEST_PICKLE, OF_JUNK
from ..errors import InputError

# Beside those of torch.save: protocols 0, 1, 4 and 5, and texts of Python 2.
_OPCODES = frozenset('()NR]abestu}hqKMJGXUTVIFSLgp.dl\x80\x81\x85\x86\x87\x88\x89\x8a\x8b\x8c'
                     '\x8d\x8e\x93\x94\x95\x96jrcBC0')  # fmt: skip
_DTYPES = frozenset(f'{kind}{size}' for kind in 'iu' for size in (1, 2, 4, 8)) | frozenset(
    ('f2', 'f4', 'f8', 'b1')
)
_DEEPEST = 50


def read_plain_pickle(path: str | os.PathLike) -> Any:
    """What a pickle of Python 2 or 3 holds, if that is plain.

    Dictionaries, lists, tuples, numbers, texts (those of Python 2 as Latin-1) and arrays of numbers
    are read; a name of anything else refuses the file before it would be imported or called.

    Args:
        path (str | PathLike): The file.

    Returns:
        Any: Its content; arrays are read-only.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: With one sentence, if it would run code, or is damaged.
    """
    path = os.fspath(path)
    with open(path, 'rb') as file:
        content = file.read(LARGEST_PICKLE + 1)
    try:
        if len(content) > LARGEST_PICKLE:
            raise _Refused(f'more than {LARGEST_PICKLE >> 20} MiB')
        _check_opcodes(content)
        found = _plain(_PlainUnpickler(io.BytesIO(content), encoding='latin1').load(), {})
    except _Refused as error:
        raise InputError(
            f'{path} is refused: it holds {error}, where a data set has numbers, texts and arrays '
            'only; get it from its authors again.'
        ) from None
    except (*OF_JUNK, RecursionError) as error:
        raise InputError(
            f'{path} is no whole pickle ({error}): get it from its authors again.'
        ) from None
    return found


class _Refused(Exception):
    """The rest of the sentence "it holds …"."""


def _check_opcodes(content: bytes) -> None:
    """Refuse objects with a class, and what takes memory that the bytes do not have."""
    for opcode, argument, position in pickletools.genops(content):
        if opcode.code not in _OPCODES:
            raise _Refused(f'the operation {opcode.name}')
        if opcode.name in ('LONG_BINPUT', 'PUT') and int(argument) > position:
            raise _Refused('an index beyond its bytes')


class _PlainUnpickler(pickle.Unpickler):
    """Finds stand-ins for the few names that arrays of numbers need, and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        found = _STAND_INS.get((module.replace('numpy._core', 'numpy.core'), name))
        if found is None:
            raise _Refused(f'{module}.{name}, code that would run on reading')
        return found

    def persistent_load(self, pid: Any) -> Any:
        raise _Refused('a reference to something outside')


class _Dtype:
    """Stands for ``numpy.dtype``."""

    def __init__(self, code: Any, *args: Any) -> None:
        if not isinstance(code, str) or code.lstrip('<>|=') not in _DTYPES:
            raise _Refused(f'an array of {code!r}')
        self.code, self.order = code.lstrip('<>|='), '<'

    def __setstate__(self, state: Any) -> None:
        # (version, byte order, subtype, names, fields, size, alignment, flags)
        if not isinstance(state, tuple) or state[2:5] != (None, None, None):
            raise _Refused('an array with fields')
        self.order = '>' if state[1] == '>' else '<'

    def numpy(self) -> np.dtype:
        return np.dtype(self.order + self.code)


class _Array:
    """Stands for ``numpy.ndarray``, and takes what would be its state."""

    value: np.ndarray | None = None

    def __setstate__(self, state: Any) -> None:
        _, shape, dtype, fortran, data = state
        self.value = _array(data, dtype, shape, 'F' if fortran else 'C')


def _array(data: Any, dtype: Any, shape: Any, order: Any = 'C') -> np.ndarray:
    if not isinstance(dtype, _Dtype) or not isinstance(shape, tuple):
        raise _Refused('an array of no numbers')
    data = data.encode('latin1') if isinstance(data, str) else data  # of Python 2
    data = bytes(data) if isinstance(data, bytearray) else data  # of protocol 5
    if not isinstance(data, bytes) or not all(isinstance(n, int) and n >= 0 for n in shape):
        raise _Refused('an array of no numbers')
    kind = dtype.numpy()
    if math.prod(shape) * kind.itemsize != len(data):
        raise _Refused('an array of another size than its bytes')
    return np.frombuffer(data, kind).reshape(shape, order=order)


def _reconstruct(kind: Any, shape: Any, code: Any) -> _Array:
    return _Array()


def _from_buffer(data: Any, dtype: Any, shape: Any, order: Any) -> np.ndarray:
    return _array(data, dtype, shape, 'F' if order == 'F' else 'C')


def _scalar(dtype: Any, data: Any = b'') -> Any:
    return _array(data, dtype, ())[()].item()


def _encode(text: Any, encoding: Any = 'latin1') -> bytes:
    if not isinstance(text, str) or encoding not in ('latin1', 'latin-1'):
        raise _Refused('a text in another encoding than bytes take')
    return text.encode('latin1')


def _no_call(*args: Any) -> Any:
    raise _Refused('a call of numpy.ndarray')


class _Call:
    """A function that a pickle may call, and do nothing else to."""

    __slots__ = ('function',)

    def __init__(self, function: Callable) -> None:
        self.function = function

    def __call__(self, *args: Any) -> Any:
        return self.function(*args)

    def __setstate__(self, state: Any) -> None:
        raise _Refused('a state for what has none')


_STAND_INS = {
    ('numpy.core.multiarray', '_reconstruct'): _Call(_reconstruct),
    ('numpy.core.multiarray', 'scalar'): _Call(_scalar),
    ('numpy.core.numeric', '_frombuffer'): _Call(_from_buffer),
    ('numpy', 'ndarray'): _Call(_no_call),
    ('numpy', 'dtype'): _Call(_Dtype),
    ('_codecs', 'encode'): _Call(_encode),
    ('__builtin__', 'bytes'): _Call(lambda: b''),  # of no byte, for Python 2
}


def _plain(value: Any, known: dict[int, Any], depth: int = 0) -> Any:
    """The same with arrays in the place of their stand-ins; ``known`` has what was done, by id."""
    if depth > _DEEPEST:
        raise _Refused('lists in lists, too deep')
    if id(value) in known:
        return known[id(value)]
    if isinstance(value, _Array):
        if value.value is None:
            raise _Refused('an array without content')
        found = value.value
    elif isinstance(value, dict):
        found = {key: _plain(each, known, depth + 1) for key, each in value.items()}
    elif isinstance(value, list | tuple):
        found = type(value)(_plain(each, known, depth + 1) for each in value)
    elif value is None or isinstance(value, bool | int | float | str | bytes | np.ndarray):
        found = value
    else:
        raise _Refused('something that is no plain value')
    known[id(value)] = found
    return found
