"""Older checkpoints of a run without what only a resumed run reads."""

from __future__ import annotations

import logging
import os
import os.path as osp
import re
from glob import escape, glob

import torch
from mmengine.logging import print_log

from ..checkpoints import read_checkpoint
from ..durable import TEMPORARY, replace_durably
from ..errors import UserError

KEPT = ('meta', 'state_dict')


class OlderCheckpoints:
    """The numbered checkpoints of a run but for its newest ones, kept as weights only.

    AdamW's state is twice the size of the trained weights, and a run goes on from its newest
    checkpoint. An older one loses all but ``meta`` and ``state_dict``, which is what
    ``load_backbone``, the exports and ``tools/test.py`` read.

    Args:
        folder (str): Where the run's checkpoints are.
        template (str): Their names, with ``{}`` for the number.
        whole (int): How many of the newest stay as they are, at least one.
    """

    def __init__(self, folder: str, template: str, whole: int) -> None:
        self.folder, self.whole = folder, max(1, whole)
        self._name = re.compile(re.escape(template).replace(r'\{\}', r'(\d+)'))
        self._done: set[str] = set()

    def lighten(self, newest: int) -> None:
        """Replace each by a copy without optimiser, schedule and log, whole or not at all.

        One that cannot be read or for which the disk has no place is left as it is, and said.

        Args:
            newest (int): The number of the run's newest. A run that starts anew in the folder of a
                longer one, or goes back, finds higher ones there, which are no reason to lighten
                what it has just written.
        """
        for path in self._paths(newest):
            if path in self._done:
                continue
            self._done.add(path)
            try:
                _lighten(path)
            except (OSError, UserError, RuntimeError) as error:
                print_log(
                    f'{path} keeps its optimiser state: {error}.',
                    logger='current',
                    level=logging.WARNING,
                )

    def _paths(self, newest: int) -> list[str]:
        """The older ones, the oldest first; links and sharded ones are left alone."""
        found = []
        for path in glob(osp.join(escape(self.folder), '*')):
            match = self._name.fullmatch(osp.basename(path))
            if match and osp.isfile(path) and not osp.islink(path) and int(match[1]) <= newest:
                found.append((int(match[1]), path))
        return [path for _, path in sorted(found)[: -self.whole]]


def _lighten(path: str) -> None:
    content = read_checkpoint(path).content  # its tensors are mapped, not in memory
    if set(content) <= set(KEPT) or not set(KEPT) <= set(content):
        return
    try:
        torch.save({key: content[key] for key in KEPT}, path + TEMPORARY)
        replace_durably(path + TEMPORARY, path)
    except BaseException:
        if osp.exists(path + TEMPORARY):
            os.remove(path + TEMPORARY)
        raise
