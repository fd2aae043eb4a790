"""Files that appear whole or not at all, even if the power fails while they are written."""

from __future__ import annotations

import errno
import os
import os.path as osp
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

TEMPORARY = '.tmp'


def replace_durably(temporary: str, path: str) -> None:
    """Let a finished file (or folder of files) take the place of ``path`` in one step.

    The content reaches the disk before the name does, so that a power failure leaves the old file
    or the new one, never a part.

    Args:
        temporary (str): The finished file, on the same disk as ``path``.
        path (str): Its final name; what was there is replaced. A folder is moved aside first,
            because nothing can take the name of one.

    Raises:
        FileExistsError: If ``path`` is a folder and the new one is a file.
    """
    parts = [temporary]
    if osp.isdir(path) and not osp.isdir(temporary):
        raise FileExistsError(f'{path} is a folder, and a file would be written: name another')
    if osp.isdir(temporary):
        parts = [osp.join(top, name) for top, _, names in os.walk(temporary) for name in names]
    for part in parts:
        _sync(part)
    replaced = f'{temporary}.replaced' if osp.isdir(path) else None
    if replaced is not None:
        os.rename(path, replaced)
    try:
        os.replace(temporary, path)
    except OSError:
        if replaced is not None:
            os.rename(replaced, path)
        raise
    _sync(osp.dirname(osp.abspath(path)))
    if replaced is not None:
        (os.remove if osp.islink(replaced) else shutil.rmtree)(replaced)


def write_durably(path: str | os.PathLike, content: str | bytes) -> None:
    """Write a small file through ``<path>.tmp``; see :func:`replace_durably`.

    Args:
        path (str | PathLike): The file; what was there is replaced.
        content (str | bytes): Text is written as UTF-8.
    """
    path = os.fspath(path)
    data = content.encode() if isinstance(content, str) else content
    try:
        with open(path + TEMPORARY, 'wb') as file:
            file.write(data)
        replace_durably(path + TEMPORARY, path)
    except BaseException:
        if osp.exists(path + TEMPORARY):
            os.remove(path + TEMPORARY)
        raise


@contextmanager
def written_whole(path: str) -> Iterator[str]:
    """Write a file or folder, and files beside it; on leaving they take their places.

    Args:
        path (str): The file or folder to write; its parent is made if need be.

    Yields:
        str: A path of the same last name in a new folder beside it. What is written there, and
        beside it in that folder, is moved to the folder of ``path``, and ``path`` comes last.
    """
    parent, name = osp.split(osp.abspath(path))
    os.makedirs(parent, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f'.{name}.', dir=parent) as folder:
        yield osp.join(folder, name)
        for each in sorted(os.listdir(folder), key=lambda each: each == name):
            replace_durably(osp.join(folder, each), osp.join(parent, each))


def _sync(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL:  # some network file systems cannot sync a folder
            raise
    finally:
        os.close(descriptor)
