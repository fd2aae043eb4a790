"""Ends a run with a checkpoint when it is asked to."""

from __future__ import annotations

import os
import signal
import threading

import torch
from mmengine.dist import all_reduce, barrier, get_world_size, is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmpretrain.registry import HOOKS

from ...errors import InputError, StoppedRunError
from .safe_checkpoint import SafeCheckpointHook

_SIGNALS = (signal.SIGTERM, signal.SIGUSR1)
SOON = 75  # exit code EX_TEMPFAIL of sysexits.h: the same command goes on


@HOOKS.register_module()
class StopHook(Hook):
    """Saves after the iteration at hand and stops, on a signal or when there is a stop file.

    SIGTERM is what schedulers and clouds send before they take a machine away, SIGUSR1 what Slurm
    sends with ``--signal=USR1@300``, five minutes before the time limit. A program then ends with
    exit code 75. A file ``STOP`` in the work directory (``touch work_dirs/mine/STOP``) does the
    same by hand, with exit code 0; it is removed. All processes stop after the same iteration,
    whichever was asked. The checkpoint ``iter_<n>.pth`` is of the middle of an epoch;
    ``--resume`` goes on with the next image (:class:`ResumableTrainLoop`).

    Args:
        interval (int): Iterations between two looks where there are several processes, which have
            to agree. Defaults to 10; one process looks after each.

    Raises:
        ValueError: If the interval is not positive, or the run's checkpoints are not written by
            :class:`SafeCheckpointHook`.
    """

    priority = 'LOWEST'  # after the checkpoint hook, which may have saved already

    def __init__(self, interval: int = 10) -> None:
        if interval < 1:
            raise InputError(f'StopHook needs an interval from 1, got {interval}.')
        self.interval = interval
        self._asked: str | None = None
        self._before: dict[signal.Signals, object] = {}

    def before_train(self, runner: Runner) -> None:
        """Listen; forget a file that was left by the run before."""
        savers = [hook for hook in runner.hooks if isinstance(hook, SafeCheckpointHook)]
        if not savers:
            raise InputError(
                'StopHook saves by SafeCheckpointHook: set default_hooks.checkpoint.type to it, or '
                'default_hooks.stop to None'
            )
        self._saver = savers[0]
        self._file = os.path.join(runner.work_dir, 'STOP')
        self._asked = None
        if threading.current_thread() is threading.main_thread():  # Python allows it nowhere else
            self._before = {number: signal.signal(number, self._note) for number in _SIGNALS}

    def _note(self, number: int, frame) -> None:
        self._asked = signal.Signals(number).name

    def after_train_iter(self, runner: Runner, batch_idx, data_batch=None, outputs=None) -> None:
        """Save and stop, if one of the processes was asked to.

        Raises:
            StoppedRunError: With what to do next.
        """
        if get_world_size() > 1 and not self.every_n_train_iters(runner, self.interval):
            return
        asked = self._asked
        wish = 2 if asked else int(is_main_process() and os.path.exists(self._file))
        if get_world_size() > 1:
            agreed = torch.tensor(wish)
            all_reduce(agreed, 'max')
            wish = int(agreed)
        if not wish:
            return
        path = self._saver.save_between(runner)
        barrier()
        if is_main_process() and os.path.exists(self._file):
            os.remove(self._file)
        self._restore()
        why = 'the file STOP' if wish == 1 else asked or 'a signal to another process'
        raise StoppedRunError(
            f'Stopped by {why} after iteration {runner.iter + 1}; all is in {path}. The same '
            'command goes on there, tools/train.py with --resume.',
            0 if wish == 1 else SOON,
        )

    def after_train(self, runner: Runner) -> None:
        """Listen no more."""
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}
