"""The weights in a checkpoint, read without running code from it."""
from __future__ import annotations

import os.path as osp
import pickle
import re
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

# What mmengine's checkpoints hold beside tensors: the curves of the run, as numpy arrays and
# numbers, in buffers that name their methods by getattr.
_LOG_TYPES = (
    'builtins.getattr',
    'mmengine.logging.history_buffer.HistoryBuffer',
    'numpy.dtype',
    'numpy.ndarray',
    'numpy._core.multiarray._reconstruct',  # numpy 2
    'numpy._core.multiarray.scalar',
    'numpy.core.multiarray._reconstruct',  # numpy 1
    'numpy.core.multiarray.scalar',
)
# What reading arbitrary bytes ends in.
_OF_JUNK = (
    RuntimeError, EOFError, LookupError, ValueError, TypeError, AttributeError, struct.error)


def read_weights(path: str) -> dict[str, Tensor]:
    """Read the weights of a model on the CPU, and nothing else, with torch's ``weights_only``.

    The logs in a checkpoint of mmengine are passed over: in place of the classes and functions
    that they name stand ones that do nothing. ``getattr`` is among these, and allowing that one
    itself would give a pickle the run of the interpreter.

    Args:
        path (str): A checkpoint of mmengine or a bare state dict, as ``torch.save`` writes them.

    Returns:
        dict[str, Tensor]: Name → weight.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is damaged, no checkpoint, or holds more than weights and logs.
    """
    if not osp.isfile(path):
        raise FileNotFoundError(f'the checkpoint {path} does not exist')
    try:
        with _allow_inert(_LOG_TYPES):
            checkpoint = torch.load(path, map_location='cpu', weights_only=True)
    except pickle.UnpicklingError as error:
        # torch's text is long and advises to load the file with its code.
        name = re.search(r'GLOBAL (\S+)', str(error))
        reason = f'holds {name[1]}, neither weight nor log' if name else 'is damaged or none'
        raise ValueError(f'the checkpoint {path} is not read: it {reason}') from None
    except _OF_JUNK:
        raise ValueError(f'the checkpoint {path} is not read: it is damaged or none') from None
    weights = checkpoint.get('state_dict', checkpoint) if isinstance(checkpoint, dict) else {}
    if not weights or not all(isinstance(value, Tensor) for value in weights.values()):
        raise ValueError(f'the checkpoint {path} holds no weights of a model')
    return dict(weights)


class _Inert:
    """Stands for a class or function that a pickle names; takes what comes and forgets it."""

    def __new__(cls, *args: Any, **kwargs: Any) -> _Inert:
        return super().__new__(cls)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Accept any arguments."""

    def __setstate__(self, state: Any) -> None:
        """Forget the state."""


@contextmanager
def _allow_inert(names: tuple[str, ...]) -> Iterator[None]:
    """Inside: torch's weights-only reader finds an inert class under each of these names."""
    stand_ins = []
    for path in names:
        module, _, name = path.rpartition('.')
        stand_ins.append(type(name, (_Inert,), dict(__module__=module)))
    before = torch.serialization.get_safe_globals()
    torch.serialization.add_safe_globals(stand_ins)
    try:
        yield
    finally:
        # torch.serialization.safe_globals would do this, but is younger than torch 2.4.
        torch.serialization.clear_safe_globals()
        torch.serialization.add_safe_globals(before)
