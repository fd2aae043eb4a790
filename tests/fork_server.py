"""Runs trainings in forks of one process that has imported everything; see test_resume.py.

Importing torch and the hosts takes longer than the small trainings that the tests kill and resume
by the dozen. Reads one job a line from standard input, as JSON, answers with the process id of the
fork (the leader of a process group, so that its workers die with it) and, when that has ended, with
its wait status.

A job: ``arguments`` (of ``tools/train.py``), ``log`` (file for what the run prints) and optionally
``die``: [where, n] kills the run with SIGKILL

- ``['writing', n]``: when half of the n-th checkpoint file is written;
- ``['before rename', n]``, ``['after rename', n]``: around the n-th rename of a finished file, of
  which checkpoints have the odd numbers and ``last_checkpoint`` has the even ones;
- ``['before removal', n]``: before the n-th old checkpoint is removed.
"""

import json
import os
import os.path as osp
import runpy
import signal
import sys

import cv2
import torch
from mmengine.config import Config
from mmengine.fileio import LocalBackend
from mmengine.utils.dl_utils import collect_env
from mmpretrain import datasets, engine, visualization  # noqa: F401  imported late by a run

import mmc_plugin  # noqa: F401  registers
from mmc_plugin.engine.checkpoint import LAST_CHECKPOINT

TRAIN = osp.join(osp.dirname(osp.dirname(osp.abspath(__file__))), 'tools', 'train.py')


def plain_text(config: Config) -> str:
    """A config's text without yapf, which takes most of the time of a small run."""
    return '\n'.join(f'{key} = {value!r}' for key, value in config.to_dict().items())


def arm(where: str, number: int) -> None:
    """Let this process kill itself at a point of a checkpoint's way to the disk."""
    left = [number]

    def reached() -> bool:
        left[0] -= 1
        return left[0] == 0

    def die() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    put, replace, remove = LocalBackend.put, os.replace, os.remove

    def dying_put(self, content: bytes, path: str) -> None:
        if where == 'writing' and '.pth' in path and reached():
            with open(path, 'wb') as file:
                file.write(content[: len(content) // 2])
            die()
        put(self, content, path)

    def dying_replace(source: str, target: str) -> None:
        ours = target.endswith(('.pth', LAST_CHECKPOINT))
        here = where.endswith('rename') and ours and reached()
        if here and where.startswith('before'):
            die()
        replace(source, target)
        if here:
            die()

    def dying_remove(path: str) -> None:
        if where == 'before removal' and path.endswith('.pth') and reached():
            die()
        remove(path)

    LocalBackend.put, os.replace, os.remove = dying_put, dying_replace, dying_remove


def main() -> None:
    """Serve until standard input ends."""
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    collect_env()  # imports setuptools
    Config.pretty_text = property(plain_text)
    print('ready', flush=True)
    for line in sys.stdin:
        job = json.loads(line)
        process = os.fork()
        if process == 0:
            os.setsid()
            log = os.open(job['log'], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            for stream in (1, 2):
                os.dup2(log, stream)
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            if 'die' in job:
                arm(*job['die'])
            sys.argv = [TRAIN, *job['arguments']]
            runpy.run_path(TRAIN, run_name='__main__')
            sys.exit()
        print(process, flush=True)
        print(os.waitpid(process, 0)[1], flush=True)


if __name__ == '__main__':
    main()
