"""mmengine's runners with a brief screen, whose log file holds all, and a config written whole."""

from __future__ import annotations

import logging
import os
import re
import traceback
from importlib.util import find_spec

from mmengine.config import Config
from mmengine.dist import master_only
from mmengine.registry import RUNNERS
from mmengine.runner import Runner

from ..durable import write_durably
from ..errors import InputError, UserError
from .building import reason, unbuildable
from .cli import say
from .loops import ResumableTrainLoop

# What mmengine and the optimiser's constructors write before the first iteration, and again at
# each epoch; nobody reads it as it passes by.
_NOISE = re.compile(
    r"""\s* (
        -{20,} \s System\ environment
        | Config:\n
        | Hooks\ will\ be\ executed\ in\ the\ following\ order
        | paramwise_options\ --
        | Distributed\ training\ is\ not\ used,\ all\ SyncBatchNorm
        | Exp\ name:
        | "(FileClient|HardDiskBackend)"
    )""",
    re.VERBOSE,
)


class ScreenFilter(logging.Filter):
    """Passes what a reader wants to see while the run goes on."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether a record is shown."""
        return not _NOISE.match(record.getMessage())


class _Mixin:
    """Before a runner of mmengine in the order of bases."""

    reseed: int | None = None  # seed of a run that goes on, if it is not the checkpoint's

    def build_logger(self, *args, **kwargs):
        """The host's logger, its screen filtered."""
        logger = super().build_logger(*args, **kwargs)
        files = []
        for handler in logger.handlers:
            if isinstance(handler, logging.FileHandler):
                files.append(handler.baseFilename)
            elif not any(isinstance(each, ScreenFilter) for each in handler.filters):
                handler.addFilter(ScreenFilter())
        if files:
            logger.info(f'Environment, config, hooks and parameter groups: {files[0]}')
        return logger

    @master_only
    def dump_config(self) -> None:
        """Write the config into the work dir, for ``--resume`` to read, whole or not at all.

        A run that goes on does so when it has its checkpoint: were its options refused, they would
        stay in the file, and the next one would go on with them.
        """
        if self._resume and not self._has_loaded:
            return
        path = os.path.join(self.work_dir, os.path.basename(self.cfg.filename or ''))
        if path.endswith('.py'):
            write_durably(path, self.cfg.pretty_text)
        else:
            super().dump_config()

    def build_train_loop(self, loop):
        """The host's; its loop by epochs is :class:`ResumableTrainLoop`."""
        if isinstance(loop, dict) and 'type' not in loop and loop.get('by_epoch'):
            loop = {key: value for key, value in loop.items() if key != 'by_epoch'}
            loop['type'] = ResumableTrainLoop
        return super().build_train_loop(loop)

    def load_or_resume(self) -> None:
        """The host's, with a sentence for an optimiser that its checkpoint does not fit."""
        loaded = self._has_loaded
        try:
            super().load_or_resume()
        except ValueError as error:
            if isinstance(error, UserError) or not self._resume:
                raise
            raise InputError(
                f'{self._load_from} does not fit the optimiser: {reason(error)}. Resume with the '
                'config that wrote it, or start a new run with load_from instead'
            ) from error
        if self._resume and not loaded:
            if self.reseed is not None:  # the host takes the seed of the checkpoint
                self._randomness_cfg.update(seed=self.reseed)
                self.set_randomness(**self._randomness_cfg)
            self.dump_config()


def _drop_tensorboard(cfg: Config) -> None:
    """Do without TensorBoard's files where it is not installed; the log has the same numbers."""
    backends = (cfg.get('visualizer') or {}).get('vis_backends') or []
    kept = [each for each in backends if 'TensorboardVisBackend' not in str(each.get('type'))]
    if len(kept) < len(backends) and find_spec('tensorboard') is None:
        cfg.visualizer.vis_backends = kept
        say('TensorBoard is not installed, so nothing is written for it: pip install tensorboard')


def build_runner(cfg: Config) -> Runner:
    """The runner of a config, as mmengine builds it otherwise.

    Args:
        cfg: Complete; its ``runner_type`` may name another runner than ``Runner``.

    Raises:
        InputError: With the runner's own reason, if it cannot be made of the config.
    """
    _drop_tensorboard(cfg)
    name = cfg.get('runner_type', 'Runner')
    host = RUNNERS.get(name)
    if host is None:
        raise InputError(f'runner_type is {name!r}: it must be such as Runner or FlexibleRunner')
    try:
        return type(host.__name__, (_Mixin, host), {}).from_cfg(cfg)
    except (AssertionError, AttributeError, KeyError, TypeError, ValueError) as error:
        module = [*traceback.walk_tb(error.__traceback__)][-1][0].f_globals['__name__']
        if isinstance(error, UserError) or not module.startswith(('mmengine.', 'logging')):
            raise
        raise InputError(
            unbuildable(error) or f'no run can be made of the config: {reason(error)}'
        ) from error
