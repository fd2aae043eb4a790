"""Runs programs in forks of one process that has imported everything; see conftest.py.

Importing torch and the hosts takes longer than the small trainings that the tests start by the
dozen. A line of standard input is a request in JSON, and is answered by a line of standard output:

- a job starts a fork, the leader of a process group (so that its workers die with it), and is
  answered with its process id: ``program`` (a file, run as the main program), ``arguments``,
  ``environment`` (added to that of the server), ``folder`` (to run in), ``log`` (file for what it
  prints) and ``die`` (None, or [where, n], see below);
- ``processes`` (their ids) and ``limit`` (seconds) are answered, once these forks have ended, with
  their wait statuses. When one fails, or the time is over, the others are killed.

``die`` kills the fork with SIGKILL

- ``['writing', n]``: when half of the n-th checkpoint file is written;
- ``['before rename', n]``, ``['after rename', n]``: around the n-th rename of a finished file, of
  which checkpoints have the odd numbers and ``last_checkpoint`` has the even ones;
- ``['before removal', n]``: before the n-th old checkpoint is removed.
"""

import gc
import json
import os
import runpy
import signal
import sys
import time

import cv2
import torch
from mmengine.config import Config
from mmengine.fileio import LocalBackend
from mmengine.utils.dl_utils import collect_env
from mmpretrain import datasets, engine, visualization  # noqa: F401  imported late by a run

import mmc_plugin  # noqa: F401  registers
from mmc_plugin.engine.checkpoint import LAST_CHECKPOINT


def plain_text(config: Config) -> str:
    """A config's text without yapf, which takes a good part of the time of a small run."""
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


def start(
    program: str,
    arguments: list[str],
    environment: dict[str, str],
    folder: str,
    log: str,
    die: list | None,
) -> int:
    """Start a job in a fork; return its process id."""
    process = os.fork()
    if process:
        return process
    os.setsid()
    out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(out, stream)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.environ.update(environment)
    os.chdir(folder)
    if die is not None:
        arm(*die)
    sys.argv = [program, *arguments]
    sys.path.insert(0, os.path.dirname(program))  # as Python does
    runpy.run_path(program, run_name='__main__')
    sys.exit()


def wait(processes: list[int], limit: float) -> list[int]:
    """Wait for forks; see the head of this file."""
    statuses: dict[int, int] = {}
    end = time.monotonic() + limit
    while len(statuses) < len(processes):
        for process in set(processes) - set(statuses):
            ended, status = os.waitpid(process, os.WNOHANG)
            if ended:
                statuses[process] = status
            elif any(statuses.values()) or time.monotonic() > end:
                os.kill(process, signal.SIGKILL)
        time.sleep(0.005)
    return [statuses[process] for process in processes]


def main() -> None:
    """Serve until standard input ends."""
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    collect_env()  # imports setuptools
    Config.pretty_text = property(plain_text)
    # What is here stays: a collection in a fork that looked at it would copy its memory.
    gc.collect()
    gc.freeze()
    print('ready', flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        print(json.dumps((wait if 'processes' in request else start)(**request)), flush=True)


if __name__ == '__main__':
    main()
