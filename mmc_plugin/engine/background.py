"""Writes checkpoints in a thread, from a copy of what they hold."""

from __future__ import annotations

import copy
import os
import threading
from collections.abc import Callable
from itertools import zip_longest
from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner

from ..errors import InputError

_RUNNING: list[threading.Thread] = []


def snapshot(
    runner: Runner, out_dir: str, filename: str, before: dict | None = None, **kwargs: Any
) -> dict | None:
    """What ``runner.save_checkpoint`` would write, in memory of its own.

    Args:
        runner (Runner): mmengine's.
        out_dir (str): Of its ``save_checkpoint``, as ``filename`` and ``**kwargs``.
        before (dict, optional): A snapshot that is no longer needed, whose memory is used again:
            new memory takes longer to get than to fill.

    Returns:
        dict | None: On the main process; the others have nothing to write.

    Raises:
        ValueError: If another kind of runner saves by its strategy.
    """
    if not isinstance(runner, Runner):
        raise InputError(
            f'default_hooks.checkpoint.background needs a Runner, not {type(runner).__name__}: set '
            'it to False'
        )
    catch = _Catch()
    runner.hooks.append(catch)  # the last to see what is written
    try:
        runner.save_checkpoint(out_dir, filename, **kwargs)
    except _CaughtError:
        pass
    finally:
        runner.hooks.remove(catch)
    # The host puts it together on the main process alone.
    return None if catch.content is None else _copied(catch.content, before)


class _CaughtError(Exception):
    """The checkpoint is put together; it is not to be written now."""


class _Catch(Hook):
    """Takes what the host would write, which does both in one function."""

    content: dict | None = None

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        self.content = checkpoint
        raise _CaughtError


def _copied(value: Any, before: Any = None) -> Any:
    """A copy that the training does not write to; what is on no GPU would be the very tensors."""
    if isinstance(value, torch.Tensor):
        if isinstance(before, torch.Tensor) and _alike(value, before):
            return before.copy_(value.detach())
        return value.detach().to('cpu', copy=True)
    if isinstance(value, dict):
        old = before if isinstance(before, dict) else {}
        copied = copy.copy(value)  # with what state dicts keep beside their items
        copied.update((key, _copied(each, old.get(key))) for key, each in value.items())
        return copied
    if isinstance(value, list):
        old = before if isinstance(before, list) else []
        return [_copied(*pair) for pair, _ in zip(zip_longest(value, old), value)]
    return copy.deepcopy(value)


def _alike(value: torch.Tensor, before: torch.Tensor) -> bool:
    return (value.shape, value.dtype, value.stride()) == (
        before.shape, before.dtype, before.stride(),
    )  # fmt: skip


class BackgroundWriter:
    """Writes one file at a time."""

    def __init__(self) -> None:
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None
        self.content: dict | None = None  # of the last one

    def start(self, content: dict, path: str, then: Callable[[], None]) -> None:
        """Write ``content`` to ``path``, and call ``then``; nobody else may be writing."""

        self.content = content

        def write() -> None:
            try:
                torch.save(content, path)
                then()
            except BaseException as error:  # raised by finish()
                self._error = error
                if os.path.exists(path):
                    os.remove(path)

        self._thread = threading.Thread(target=write, name='checkpoint')
        _RUNNING.append(self._thread)
        self._thread.start()

    def finish(self) -> None:
        """Wait until all is written; raise what has failed."""
        if self._thread is not None:
            self._thread.join()
            if self._thread in _RUNNING:
                _RUNNING.remove(self._thread)
            self._thread = None
        error, self._error = self._error, None
        if error is not None:
            raise error


def wait_for_writers() -> None:
    """Wait for what runs before, that have ended in an error, still write."""
    for thread in list(_RUNNING):
        thread.join()
        _RUNNING.remove(thread)
