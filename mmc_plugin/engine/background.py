"""Writes checkpoints in a thread, from a copy of what they hold."""

from __future__ import annotations

import copy
import os
import threading
from collections.abc import Callable
from typing import Any
from unittest.mock import patch

import torch
from mmengine.dist import is_main_process
from mmengine.runner import Runner

from ..errors import InputError

_RUNNING: list[threading.Thread] = []


def snapshot(runner: Runner, out_dir: str, filename: str, **kwargs: Any) -> dict | None:
    """What ``runner.save_checkpoint`` would write, in memory of its own.

    Args:
        runner (Runner): mmengine's.
        out_dir, filename, **kwargs: Of its ``save_checkpoint``.

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
    found: list[dict] = []
    # The host puts a checkpoint together and writes it in one function.
    with patch(
        'mmengine.runner.runner.save_checkpoint', lambda content, *a, **k: found.append(content)
    ):
        runner.save_checkpoint(out_dir, filename, **kwargs)
    return _copied(found[0]) if found and is_main_process() else None


def _copied(value: Any) -> Any:
    """A copy that the training does not write to; what is on no GPU would be the very tensors."""
    if isinstance(value, torch.Tensor):
        return value.detach().to('cpu', copy=True)
    if isinstance(value, dict):
        copied = copy.copy(value)  # with what state dicts keep beside their items
        copied.update((key, _copied(each)) for key, each in value.items())
        return copied
    if isinstance(value, list):
        return [_copied(each) for each in value]
    return copy.deepcopy(value)


class BackgroundWriter:
    """Writes one file at a time."""

    def __init__(self) -> None:
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None

    def start(self, content: dict, path: str, then: Callable[[], None]) -> None:
        """Write ``content`` to ``path``, and call ``then``; nobody else may be writing."""

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
