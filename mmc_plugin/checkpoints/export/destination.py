"""Files that appear whole or not at all, and replace nothing unless they are told to."""

from __future__ import annotations

import os
import os.path as osp
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

# What a folder of Hugging Face holds, and nothing else that somebody could miss.
_OF_EXPORTS = re.compile(
    r'config\.json|preprocessor_config\.json|README\.md|model(-\d{5}-of-\d{5})?\.safetensors|'
    r'model\.safetensors\.index\.json'
)


def refuse_existing(path: str, force: bool, folder: bool = False) -> None:
    """Refuse to replace a file or folder.

    Args:
        path (str): What would be written.
        force (bool): Replace it, if it is of the same kind.
        folder (bool): Whether a folder would be written.

    Raises:
        FileExistsError: If it is there and must not be replaced.
    """
    if not osp.lexists(path):
        return
    if osp.isdir(path) != folder:
        is_there, wanted = ('folder', 'file') if osp.isdir(path) else ('file', 'folder')
        raise FileExistsError(
            f'{path} is a {is_there}, and a {wanted} would be written: name another'
        )
    if not force:
        raise FileExistsError(f'{path} exists: name another, or replace it with --force')
    if folder:
        other = [
            name
            for name in sorted(os.listdir(path))
            if not _OF_EXPORTS.fullmatch(name) or not osp.isfile(osp.join(path, name))
        ]
        if other:
            raise FileExistsError(
                f'{path} holds {other[0]}, which no export wrote, so it is not replaced: name '
                'another folder'
            )


@contextmanager
def whole(path: str) -> Iterator[str]:
    """Write files under a temporary name; on leaving they take their places.

    Args:
        path (str): The file or folder to write; its parent is made if need be.

    Yields:
        str: A path of the same last name in a new folder beside it. What is written there, and
        beside it in that folder, is moved to the folder of ``path``, and ``path`` comes last.
    """
    path = osp.abspath(path)
    parent, name = osp.split(path)
    os.makedirs(parent, exist_ok=True)
    folder = tempfile.mkdtemp(prefix=f'.{name}.', dir=parent)
    try:
        yield osp.join(folder, name)
        beside = sorted(set(os.listdir(folder)) - {name})
        for each in [*beside, name]:
            replaced = None
            if each == name and osp.isdir(path):  # else nothing can take the name of a folder
                replaced = osp.join(folder, f'{name}.replaced')
                os.rename(path, replaced)
            try:
                os.replace(osp.join(folder, each), osp.join(parent, each))
            except OSError:
                if replaced is not None:
                    os.rename(replaced, path)
                raise
    finally:
        shutil.rmtree(folder)
