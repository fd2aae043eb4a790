"""Removes the checkpoints of a run, and nothing else, whatever a checkpoint says they are."""

from __future__ import annotations

import logging
import os
import os.path as osp
import re
import shutil
from collections import deque
from typing import Any

from mmengine.fileio import LocalBackend
from mmengine.logging import print_log

from ..durable import TEMPORARY

# In a sharded checkpoint, which is a folder: mmengine's FSDP, DeepSpeed, torch's own.
_SHARD = re.compile(r'rank\d+\.pth|\w+_states\.pt|__\d+_\d+\.distcp|\.metadata')
_BEST = r'best_[^/]+_'


class OwnCheckpoints:
    """The checkpoints in the folder of a run, by the names that its hook gives them.

    A resumed run reads from the checkpoint which files it may replace, and that may have been
    written by anybody, or name the folder that the run lay in before it was copied. So only the
    name of a file counts, its folder is that of this run, and links are left alone.

    Args:
        folder (str): Where the run's checkpoints are.
        template (str): Their names, with ``{}`` for the number.
    """

    def __init__(self, folder: str, template: str) -> None:
        self.folder = folder
        numbered = r'\d+'.join(map(re.escape, template.format('*').replace('/', '_').split('*')))
        self._name = re.compile(rf'({_BEST})?{numbered}({re.escape(TEMPORARY)})?')

    def find(self, named: Any) -> str | None:
        """The checkpoint in this run's folder that has the name of another.

        None where there is none, or what is named is no text, or no name that the hook gives.
        """
        if not isinstance(named, str) or not self._name.fullmatch(osp.basename(named)):
            return None
        path = osp.join(self.folder, osp.basename(named))
        return path if _is_file(path) or _is_sharded(path) else None

    def remove(self, named: Any) -> None:
        """Remove what :meth:`find` finds; anything else is left, and said if it is there."""
        path = self.find(named)
        if path is None:
            if isinstance(named, str) and osp.lexists(named):
                print_log(
                    f'{named} is not removed: it is no checkpoint that this run wrote.',
                    logger='current',
                    level=logging.WARNING,
                )
        elif osp.isdir(path):
            shutil.rmtree(path)
        else:
            os.remove(path)


class LaterRemoval(LocalBackend):
    """A local file backend that notes which checkpoint it is to remove and leaves it there."""

    def __init__(self, own: OwnCheckpoints) -> None:
        self._own = own
        self.outdated: set[str] = set()

    def isfile(self, filepath: str) -> bool:
        """Whether there is such a checkpoint, be it a file or a folder."""
        return self._own.find(filepath) is not None

    def isdir(self, filepath: str) -> bool:
        """The host need not tell folders from files."""
        return False

    def remove(self, filepath: str) -> None:
        """Note a checkpoint."""
        self.outdated.add(str(filepath))


def keep_ids(value: Any) -> list[int]:
    """The numbers in a list that a checkpoint holds; nothing else has been written by a run."""
    if not isinstance(value, list | tuple | deque):
        return []
    return [each for each in value if type(each) is int and each >= 0]


def _is_file(path: str) -> bool:
    return osp.isfile(path) and not osp.islink(path)


def _is_sharded(path: str) -> bool:
    """Whether a folder holds shards and nothing else."""
    if osp.islink(path) or not osp.isdir(path):
        return False
    with os.scandir(path) as entries:
        return all(
            entry.is_file(follow_symlinks=False)
            and _SHARD.fullmatch(entry.name.removesuffix(TEMPORARY))
            for entry in entries
        )
