"""Writes checkpoints so that a run killed at any instant leaves a whole one."""

from __future__ import annotations

import errno
import os
import os.path as osp
import shutil
from collections.abc import Callable
from glob import escape, glob
from typing import Any

from mmengine.dist import all_gather_object, barrier, get_world_size, is_main_process
from mmengine.fileio import LocalBackend, get_file_backend
from mmengine.hooks import CheckpointHook
from mmengine.runner import Runner
from mmpretrain.registry import HOOKS

from ...durable import TEMPORARY, replace_durably, write_durably
from ...errors import InputError, RunError
from ..background import BackgroundWriter, snapshot
from ..checkpoint import LAST_CHECKPOINT, find_resumable_checkpoint, read_last_checkpoint
from ..removal import LaterRemoval, OwnCheckpoints, keep_ids
from ..weights_only import OlderCheckpoints

BETWEEN = 'iter_{}.pth'  # name of what is saved out of turn


@HOOKS.register_module()
class SafeCheckpointHook(CheckpointHook):
    """mmengine's ``CheckpointHook`` with writes that are whole or absent.

    - A checkpoint is written to ``<name>.tmp`` in its folder, synced to the disk and renamed;
      ``last_checkpoint`` follows in the same way. Files of killed runs with such a temporary name
      are removed when training starts.
    - Old checkpoints are removed after the new one is in its place; the host removes them before.
      Only what has a checkpoint's name in this run's folder is removed, see
      :class:`~mmc_plugin.engine.removal.OwnCheckpoints`, wherever the checkpoint that the run was
      resumed from says that its files are.
    - All but the newest ``keep_whole`` lose their optimiser state once the new one is in its place,
      see :class:`~mmc_plugin.engine.weights_only.OlderCheckpoints`. A run goes on from a whole one.
    - A disk that is full, or whose free space is known to be too small, ends the run with one
      sentence. The part that was written is removed, what was there before stays.
    - An error while saving is raised on all processes, so that none waits for the others.
    - With ``resume=True`` and no ``load_from``, a :class:`Runner` goes on from the newest whole
      checkpoint: before it looks, ``last_checkpoint`` is made to name that one. (mmengine's
      ``FlexibleRunner`` looks before any hook is called; give it ``load_from``.)

    Args:
        *args: Of ``CheckpointHook``.
        keep_whole (int): How many of the newest checkpoints keep what a resumed run needs; -1 for
            all, the default. With 2 one is left to go on from when the newest is damaged.
        background (bool): Train on while a checkpoint is written: what it holds is copied to the
            CPU's memory, which has to have room for it once more, and a thread does the rest. One
            is written at a time, and the next one, the end of the run and a stop wait for it; its
            errors are raised there. Files are the same. Defaults to False.
        **kwargs: Of ``CheckpointHook``.

    Checkpoints that do not go to a local path (another
    file backend, or the deprecated ``file_client_args``) are written by the host as ever. Copies
    for publication (``published_keys``) are too.
    """

    def __init__(
        self, *args: Any, keep_whole: int = -1, background: bool = False, **kwargs: Any
    ) -> None:
        if type(keep_whole) is not int or (keep_whole < 1 and keep_whole != -1):
            raise InputError(
                'default_hooks.checkpoint.keep_whole must be a number of checkpoints from 1, or -1 '
                f'for all, got {keep_whole!r}'
            )
        super().__init__(*args, **kwargs)
        self.keep_whole, self.background = keep_whole, background
        self._writer = BackgroundWriter()

    def before_run(self, runner: Runner) -> None:
        """Let ``last_checkpoint`` name a whole checkpoint where the run is to be resumed."""
        wants_resume = getattr(runner, '_resume', False) is True
        if not wants_resume or getattr(runner, '_load_from', None) is not None:
            return
        if is_main_process():
            self._repair_last_checkpoint(runner.work_dir)
        barrier()

    @staticmethod
    def _repair_last_checkpoint(work_dir: str) -> None:
        whole, named = find_resumable_checkpoint(work_dir), read_last_checkpoint(work_dir)
        path = osp.join(work_dir, LAST_CHECKPOINT)
        if whole is not None and whole != named:
            write_durably(path, whole)
        elif whole is None and osp.exists(path):
            os.remove(path)

    def before_train(self, runner: Runner) -> None:
        """Find the folder, remove what killed runs left half-written, look at the free space."""
        backend = get_file_backend(self.out_dir or runner.work_dir, backend_args=self.backend_args)
        self._local = self.file_client_args is None and isinstance(backend, LocalBackend)
        info = runner.message_hub.runtime_info  # of the checkpoint, in a run that is resumed
        ids = keep_ids(info.get('keep_ckpt_ids', []))
        surplus = max(len(ids) - self.max_keep_ckpts, 0)
        surplus = surplus if self._local and self.max_keep_ckpts > 0 else 0
        if 'keep_ckpt_ids' in info:
            info['keep_ckpt_ids'] = ids[surplus:]  # the host would remove the others now
        super().before_train(runner)
        self._own = OwnCheckpoints(self.out_dir, self.filename_tmpl)
        self._older = OlderCheckpoints(self.out_dir, self.filename_tmpl, self.keep_whole)
        self._check_best(runner)
        if self._local:
            stale = [self._numbered(step) for step in ids[:surplus]]
            self._together(lambda: self._prepare_folder(runner, stale), 'Checkpoints')

    def _numbered(self, step: int) -> str:
        return osp.join(self.out_dir, self.filename_tmpl.format(step))

    def _check_best(self, runner: Runner) -> None:
        """Of the best checkpoints so far, forget those that are not in this run's folder.

        They are removed when there is a better one, and unpickled when they are published.
        """
        if not self._local or self.save_best is None:
            return
        info = runner.message_hub.runtime_info
        for key in [key for key in info if key == 'best_ckpt' or key.startswith('best_ckpt_')]:
            path = self._own.find(info[key])
            if path is None:
                del info[key]
            else:
                info[key] = path
        if len(self.key_indicators) == 1:
            self.best_ckpt_path = info.get('best_ckpt')
        else:
            for indicator in self.key_indicators:
                self.best_ckpt_path_dict[indicator] = info.get(f'best_ckpt_{indicator}')

    def _prepare_folder(self, runner: Runner, stale: list[str]) -> None:
        if not is_main_process():
            return
        os.makedirs(self.out_dir, exist_ok=True)
        for path in stale:
            self._own.remove(path)
        for folder in {osp.abspath(self.out_dir), osp.abspath(runner.work_dir)}:
            for template in (self.filename_tmpl, BETWEEN):
                own = OwnCheckpoints(folder, template)
                for path in glob(osp.join(escape(folder), '*' + TEMPORARY)):
                    if own.find(path):
                        own.remove(path)
            half = osp.join(folder, LAST_CHECKPOINT + TEMPORARY)
            if osp.isfile(half):
                os.remove(half)
        # A checkpoint holds more than the weights: where not even they fit, say so at the start.
        self._check_space(sum(p.numel() * p.element_size() for p in runner.model.parameters()))

    def _save_checkpoint_with_step(self, runner: Runner, step: int, meta: dict) -> None:
        if not self._local:
            super()._save_checkpoint_with_step(runner, step, meta)
            return

        stale = None
        if self.max_keep_ckpts > 0 and step not in list(self.keep_ckpt_ids)[-1:]:
            if len(self.keep_ckpt_ids) == self.max_keep_ckpts:
                stale = self.keep_ckpt_ids.popleft()
            self.keep_ckpt_ids.append(step)
            # Before saving: the checkpoint holds the list that is right once it exists.
            runner.message_hub.update_info('keep_ckpt_ids', list(self.keep_ckpt_ids))

        previous = self.last_ckpt or read_last_checkpoint(runner.work_dir)
        filename = self.filename_tmpl.format(step)
        self.last_ckpt = osp.join(self.out_dir, filename)
        runner.message_hub.update_info('last_ckpt', self.last_ckpt)
        self._write(
            runner,
            filename,
            previous,
            save_optimizer=self.save_optimizer,
            save_param_scheduler=self.save_param_scheduler,
            meta=meta,
            by_epoch=self.by_epoch,
            backend_args=self.backend_args,
            tidy=lambda: self._tidy(step, stale),
            in_background=self.background,
            **self.args,
        )

    def _tidy(self, step: int, stale: int | None) -> None:
        """What becomes of older ones when a new one is in its place, on the main process."""
        if stale is not None:
            self._own.remove(self._numbered(stale))
        self._remove_between()
        if self.keep_whole > 0:
            self._older.lighten(step)

    def after_train(self, runner: Runner) -> None:
        """Wait for what is being written."""
        self._wait()
        super().after_train(runner)

    def _wait(self) -> None:
        """Raise on all processes what has failed in the background."""
        self._together(self._writer.finish, 'A checkpoint')

    def save_between(self, runner: Runner) -> str:
        """Save after an iteration, out of turn, for a run that is about to stop.

        ``iter_<n>.pth`` is removed once the next checkpoint of the regular ones is written.

        Returns:
            str: Its path.
        """
        filename = BETWEEN.format(runner.iter + 1)
        previous = self.last_ckpt or read_last_checkpoint(runner.work_dir)
        self.last_ckpt = osp.join(self.out_dir, filename)
        runner.message_hub.update_info('last_ckpt', self.last_ckpt)
        self._write(
            runner,
            filename,
            previous,
            save_optimizer=True,
            save_param_scheduler=True,
            by_epoch=False,
            backend_args=self.backend_args,
            **self.args,
        )
        return self.last_ckpt

    def _remove_between(self) -> None:
        """Remove what :meth:`save_between` has written, where regular names are others."""
        if self.filename_tmpl != BETWEEN:
            own = OwnCheckpoints(self.out_dir, BETWEEN)
            for path in glob(osp.join(escape(self.out_dir), 'iter_*.pth')):
                if own.find(path):
                    own.remove(path)

    def _save_best_checkpoint(self, runner: Runner, metrics: dict) -> None:
        if not self._local:
            super()._save_best_checkpoint(runner, metrics)
            return
        # The host removes the old best one and then writes the new one itself: lend it a runner
        # that writes safely and a file backend that remembers what to remove later.
        backend, self.file_backend = self.file_backend, LaterRemoval(self._own)
        try:
            super()._save_best_checkpoint(_SafeRunner(runner, self), metrics)
            outdated = self.file_backend.outdated
        finally:
            self.file_backend = backend
        kept = {getattr(self, 'best_ckpt_path', None)}
        kept.update(getattr(self, 'best_ckpt_path_dict', {}).values())
        for path in outdated - kept:
            self._own.remove(path)

    def _write(
        self,
        runner: Runner,
        filename: str,
        previous: str | None = None,
        tidy: Callable[[], None] | None = None,
        in_background: bool = False,
        **kwargs: Any,
    ) -> None:
        """Save ``filename`` through a temporary name; what was there stays if anything fails.

        Args:
            runner (Runner): What saves.
            filename (str): Name in ``self.out_dir``.
            previous (str, optional): A checkpoint of about the same size.
            tidy (Callable, optional): Called on the main process when the file is in its place.
            in_background (bool): Do all but copying in a thread.
            **kwargs: Of ``runner.save_checkpoint``.
        """
        path = osp.join(self.out_dir, filename)
        last = osp.join(runner.work_dir, LAST_CHECKPOINT)
        needed = osp.getsize(previous) if previous and osp.isfile(previous) else None

        if self.background:
            self._wait()

        def write() -> None:
            if is_main_process() and needed is not None:
                self._check_space(needed)
            runner.save_checkpoint(self.out_dir, filename + TEMPORARY, **kwargs)

        is_last = path == self.last_ckpt

        def publish() -> None:
            if is_main_process():
                replace_durably(path + TEMPORARY, path)
                if is_last:
                    write_durably(last, path)
                if tidy is not None:
                    tidy()

        if in_background:
            self._together(
                lambda: self._check_space(needed or 0), f'The checkpoint {filename}', needed
            )
            before = self._writer.content  # written, since it was waited for
            content = snapshot(runner, self.out_dir, filename, before, **kwargs)
            if content is not None:  # on the main process
                self._writer.start(content, path + TEMPORARY, publish)
            return
        try:
            self._together(write, f'The checkpoint {filename}', needed)
            self._together(publish, f'The checkpoint {filename}', needed)
        except BaseException:
            if is_main_process():
                self._own.remove(path + TEMPORARY)
            raise

    def _check_space(self, needed: int) -> None:
        free = shutil.disk_usage(self.out_dir).free
        if free < needed:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _together(self, action: Callable[[], None], what: str, needed: int | None = None) -> None:
        """Run ``action`` on all processes; if it fails on any, raise on all.

        Args:
            action (Callable): What to do, without an argument.
            what (str): What it writes, as the beginning of a sentence.
            needed (int, optional): About how many bytes that takes, if known.

        Raises:
            RuntimeError: With one sentence about the disk, for each kind of ``OSError``.
        """
        failure: Exception | None = None
        try:
            action()
        except OSError as error:
            failure = RunError(self._explain(what, error, needed))
            failure.__cause__ = error
        except Exception as error:
            failure = error
        if get_world_size() > 1:
            texts = all_gather_object(None if failure is None else str(failure))
            if failure is None and any(texts):
                failure = RunError(next(filter(None, texts)))
        if failure is not None:
            raise failure

    def _explain(self, what: str, error: OSError, needed: int | None) -> str:
        folder = self.out_dir
        while not osp.isdir(folder):
            folder = osp.dirname(osp.abspath(folder))
        size = '' if needed is None else f'about {_megabytes(needed)} are needed, '
        return (
            f'{what} cannot be written to {self.out_dir}: {error.strerror} ({size}'
            f'{_megabytes(shutil.disk_usage(folder).free)} are free). What was saved before is '
            'whole; make room, set default_hooks.checkpoint.out_dir to another disk or lower '
            'default_hooks.checkpoint.max_keep_ckpts, then go on with --resume.'
        )


class _SafeRunner:
    """A runner whose checkpoints are written by the hook; all else is the runner's own."""

    def __init__(self, runner: Runner, hook: SafeCheckpointHook) -> None:
        self._runner = runner
        self._hook = hook

    def __getattr__(self, name: str) -> Any:
        return getattr(self._runner, name)

    def save_checkpoint(self, out_dir: str, filename: str, **kwargs: Any) -> None:
        """Save to the hook's folder, which is what the hook gives as ``out_dir``."""
        self._hook._write(self._runner, filename, **kwargs)


def _megabytes(size: int) -> str:
    return f'{size / 1e6:,.1f} MB'
