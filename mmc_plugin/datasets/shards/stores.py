"""Bytes of shards, from the local disk or from a store that fsspec knows."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any, TypeVar

from ...errors import InputError, RunError, needing

T = TypeVar('T')
RETRIES = (0.2, 1.0, 5.0, 25.0)  # seconds before each further try


class LocalStore:
    """A folder.

    Args:
        root (str): The folder.
    """

    def __init__(self, root: str) -> None:
        self.root = os.path.expanduser(root)
        self._open: dict[tuple[int, str], int] = {}

    def __getstate__(self) -> dict:
        return dict(root=self.root, _open={})

    def names(self) -> list[str]:
        """Files, sorted."""
        return sorted(entry.name for entry in os.scandir(self.root) if entry.is_file())

    def size(self, name: str) -> int | None:
        """Bytes of a file, None if there is none."""
        try:
            return os.path.getsize(os.path.join(self.root, name))
        except OSError:
            return None

    def read(self, name: str, start: int, size: int) -> bytes:
        """Some bytes of a file, fewer at its end; from any thread.

        Raises:
            RuntimeError: If it cannot be read.
        """
        key = os.getpid(), name  # processes that were forked do not share what they open
        try:
            if key not in self._open:
                self._open[key] = os.open(os.path.join(self.root, name), os.O_RDONLY)
            return os.pread(self._open[key], size, start)
        except OSError as error:
            raise RunError(
                f'the shard {os.path.join(self.root, name)!r} can no longer be read: '
                f'{error.strerror}; put it back, then go on with --resume'
            ) from error

    def open(self, name: str) -> Any:
        """A file to read, seekable."""
        return open(os.path.join(self.root, name), 'rb')


class RemoteStore:
    """A folder of a store, such as ``s3://bucket/shards``, through fsspec.

    Args:
        root (str): With its protocol; for most of them fsspec names a package that they need.

    Raises:
        ImportError: If fsspec, or what it needs for the protocol, is not installed.
        ValueError: If there is no such protocol.
    """

    def __init__(self, root: str) -> None:
        self.root = root.rstrip('/')
        self._systems: dict[int, Any] = {}
        self._system()

    def __getstate__(self) -> dict:
        return dict(root=self.root, _systems={})

    def _system(self) -> Any:
        """The file system of this process: its threads do not survive a fork."""
        pid = os.getpid()
        if pid not in self._systems:
            with needing(f'{self.root} needs fsspec: pip install fsspec'):
                import fsspec
            protocol = self.root.split('://', 1)[0]
            try:
                self._systems[pid] = fsspec.filesystem(protocol)
            except ImportError as error:
                with needing(f'{self.root} cannot be opened: {error}'):
                    raise
            except ValueError as error:
                raise InputError(f'data_root {self.root} cannot be opened: {error}') from None
        return self._systems[pid]

    def names(self) -> list[str]:
        """Files, sorted."""
        found = self._again('', lambda: self._system().ls(self.root, detail=True))
        return sorted(
            each['name'].rstrip('/').rpartition('/')[2] for each in found if each['type'] == 'file'
        )

    def size(self, name: str) -> int | None:
        """Bytes of a file, None if there is none."""
        try:
            return self._again(name, lambda: self._system().size(f'{self.root}/{name}'))
        except FileNotFoundError:
            return None

    def read(self, name: str, start: int, size: int) -> bytes:
        """Some bytes of a file, fewer at its end; from any thread.

        Raises:
            RuntimeError: If the store does not answer, also after some tries.
        """
        path = f'{self.root}/{name}'
        return self._again(name, lambda: self._system().cat_file(path, start, start + size))

    def open(self, name: str) -> Any:
        """A file to read, seekable."""
        return self._again(name, lambda: self._system().open(f'{self.root}/{name}', 'rb'))

    def _again(self, name: str, ask: Callable[[], T]) -> T:
        """Ask until there is an answer, with growing pauses."""
        for pause in (*RETRIES, None):
            try:
                return ask()
            except FileNotFoundError:
                raise
            except Exception as error:  # each kind of store has errors of its own
                if pause is None:
                    raise RunError(
                        f'the store {self.root} has not given {name or "its list"} in '
                        f'{len(RETRIES) + 1} tries within {sum(RETRIES):.0f} seconds: '
                        f'{" ".join(str(error).split()) or type(error).__name__}; look at it, '
                        'then go on with --resume'
                    ) from error
            time.sleep(pause)
        raise AssertionError  # the last try returns or raises


def open_store(root: str) -> LocalStore | RemoteStore:
    """The store that a path or an address names."""
    return RemoteStore(root) if '://' in root else LocalStore(root)
