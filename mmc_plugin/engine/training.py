"""A training from its config on: the way of ``tools/train.py`` and of ``apis.pretrain``."""

from __future__ import annotations

import copy
import gc
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.dist import broadcast_object_list
from mmengine.runner import Runner
from mmpretrain.registry import OPTIM_WRAPPERS

from ..errors import InputError, RollBackError, RunError
from ..wording import counted
from . import cli
from .background import wait_for_writers
from .channels import set_in_channels
from .checkpoint import BrokenCheckpointError, find_resumable_checkpoint, inspect_checkpoint
from .fitting import fit_to_data
from .hooks.loss_guard import check_train_dataloader
from .initial_backbone import forget_initial_backbone, set_initial_backbone
from .optimizers import AutoPrecisionOptimWrapper
from .resumed_config import load_resumed_config
from .runner import build_runner
from .weights_check import check_weights

TRAINING = ('model', 'train_dataloader', 'train_cfg', 'optim_wrapper')
MIXED_PRECISION = ('AmpOptimWrapper', 'BFloat16OptimWrapper', 'ShardedBFloat16OptimWrapper')


def training_config(
    path: str,
    options: Sequence[str] | dict | None = None,
    work_dir: str | None = None,
    resume: str | None = None,
    init_from: str | None = None,
    launcher: str = 'none',
    strict: bool = True,
    validate: bool = True,
    mixed_precision: bool = False,
    allow_pickle: bool = False,
) -> Config:
    """The config of a training, checked and fitted to data and machine as far as it can be.

    Args:
        path: See :func:`~mmc_plugin.engine.cli.load_config`, as ``options``, ``work_dir``,
            ``launcher`` and ``strict``.
        resume: A checkpoint to go on from, or ``'auto'`` for the newest whole one of the work dir,
            if there is one. The settings are then those that the work dir holds, if it does,
            changed by ``options``.
        init_from: See :func:`~mmc_plugin.engine.initial_backbone.set_initial_backbone`; by default
            the config's key of this name. Of no account in a run that is resumed.
        validate: False leaves evaluations out.
        mixed_precision: Train in the precision that fits the machine, whatever the config.
        allow_pickle: Read checkpoints that run code.

    Raises:
        FileNotFoundError: If config or checkpoint do not exist.
        ValueError: If one of the settings is refused.
    """
    load = cli.load_config if resume is None else load_resumed_config
    cfg = load(path, options, launcher, work_dir, strict=strict)
    if not validate:
        cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    missing = [key for key in TRAINING if cfg.get(key) is None]
    if missing:
        raise InputError(f'the config {path} describes no training: it has no {missing[0]}')
    if mixed_precision:
        use_mixed_precision(cfg)
    fit_to_data(cfg)
    set_in_channels(cfg)
    check_schedule(cfg)
    count_accumulation(cfg)
    if cfg.optim_wrapper.get('type') == 'AmpOptimWrapper' and not torch.cuda.is_available():
        raise InputError(
            'optim_wrapper.type=AmpOptimWrapper needs a GPU, and this machine shows none: use '
            'AutoPrecisionOptimWrapper'
        )
    if resume is not None:
        set_resume(cfg, resume)
    elif cfg.get('resume') and not cfg.get('load_from'):
        set_resume(cfg, 'auto')
    init_from = cfg.get('init_from') if init_from is None else init_from
    if init_from is not None and not cfg.get('resume'):
        set_initial_backbone(cfg, init_from, allow_pickle)
    cli.check_checkpoints(cfg, allow_pickle)
    return cfg


def train(cfg: Config, allow_pickle: bool = False, allow_misfit: bool = False) -> Runner:
    """Train.

    Args:
        cfg: Of :func:`training_config`, its loaders completed by
            :func:`~mmc_plugin.engine.cli.complete_loader`.
        allow_pickle: Read checkpoints that run code.
        allow_misfit: Start from weights that mostly do not fit the model.

    Returns:
        Runner: At the end of its training.

    Raises:
        RunError: If it cannot go on, or was asked to stop.
    """
    cli.prepare_launch(cfg)
    rollbacks, seed = 0, None
    while True:
        try:
            return _train_once(copy.deepcopy(cfg), allow_pickle, allow_misfit, seed)
        except RollBackError as error:
            rollbacks += 1
            if rollbacks > error.most:
                raise RunError(
                    f'{error}, after {error.most} times that training went back: go on with '
                    '--resume and a lower learning rate (optim_wrapper.optimizer.lr), in fp32 '
                    '(optim_wrapper.precision=fp32) or with stronger clipping '
                    '(optim_wrapper.clip_grad.max_norm).'
                ) from error
            seed = error.seed
            _go_back(cfg, error, rollbacks)
        gc.collect()  # the run before, with its workers


def _train_once(
    cfg: Config, allow_pickle: bool, allow_misfit: bool, seed: int | None = None
) -> Runner:
    """Train from one start on; see :func:`train`."""
    begun_from = forget_initial_backbone(cfg) if cfg.get('resume') else None
    runner = build_runner(cfg)
    runner.reseed = seed
    if begun_from is not None:  # for the file that the next --resume reads
        runner.cfg.model.backbone.checkpoint = begun_from
    check_weights(cfg, runner.model, allow_pickle, allow_misfit)
    check_train_dataloader(runner.train_dataloader)
    runner.train()
    return runner


def _go_back(cfg: Config, error: RollBackError, times: int) -> None:
    """Let ``cfg`` go on from the newest whole checkpoint with another seed, in place."""
    wait_for_writers()
    found = [find_resumable_checkpoint(cfg.work_dir)]
    broadcast_object_list(found)  # what the first process sees holds for all
    where = 'the beginning'
    if found[0] is not None:
        cfg.resume, cfg.load_from, where = True, found[0], found[0]
    cfg.setdefault('randomness', {})['seed'] = error.seed
    cfg.experiment_name = f'{Path(cfg.work_dir).name}_rollback_{times}_{time.time():.0f}'
    cli.say(f'{error}: going back to {where}, and on with the seed {error.seed}.')
    time.sleep(1)  # logs are in folders that are named after the second


def use_mixed_precision(cfg: Config) -> None:
    """Let ``cfg.optim_wrapper`` choose the precision that fits the machine."""
    wrapper = cfg.optim_wrapper
    kind = wrapper.get('type', 'OptimWrapper')
    name = kind.rpartition('.')[2] if isinstance(kind, str) else kind.__name__
    cls = OPTIM_WRAPPERS.get(kind) if isinstance(kind, str) else kind
    ours = cls is not None and issubclass(cls, AutoPrecisionOptimWrapper)
    precision = wrapper.get('precision', 'auto') if ours and name not in MIXED_PRECISION else None
    if name in MIXED_PRECISION or precision not in (None, 'fp32'):
        cli.say(f'--amp changes nothing: the config sets {precision or name} already.')
        return
    if precision is None:
        if name != 'OptimWrapper':
            raise InputError(f'--amp cannot be used with {name}, only with OptimWrapper')
        wrapper.type = 'mmpretrain.AutoPrecisionOptimWrapper'
    wrapper.precision = 'auto'


def set_resume(cfg: Config, resume: str) -> None:
    """Set where ``cfg`` goes on from: a checkpoint, or with 'auto' the work dir's newest one."""
    if resume == 'auto':
        checkpoint = find_resumable_checkpoint(cfg.work_dir)
        if checkpoint is None:
            cli.say(f'--resume: no whole checkpoint in {cfg.work_dir}, so from the beginning.')
            cfg.resume = False  # else mmengine would look for one itself, and read it unchecked
            return
    elif '://' in resume:
        checkpoint = resume
    elif Path(resume).is_file():
        checkpoint = resume
        try:
            inspect_checkpoint(resume)
        except BrokenCheckpointError as error:
            raise InputError(f'the checkpoint {resume} cannot be resumed from: {error}') from None
    else:
        raise FileNotFoundError(f'the checkpoint {resume} to resume from does not exist')
    cfg.resume = True
    cfg.load_from = str(checkpoint)
    cli.say(f'--resume: going on from {checkpoint}.')
    epochs = cfg.get('train_cfg', {}).get('max_epochs')
    if epochs and Path(checkpoint).is_file() and inspect_checkpoint(checkpoint)['epoch'] >= epochs:
        cli.say(
            f'It has all its epochs ({epochs}), so nothing is left to train; --cfg-options '
            f'train_cfg.max_epochs={2 * epochs} goes on with a schedule of that length.'
        )


def warm_up_epochs(cfg: Config) -> int:
    """Epochs before the last scheduler by epoch begins: more are needed than these."""
    schedulers = cfg.get('param_scheduler') or []
    schedulers = schedulers if isinstance(schedulers, list) else [schedulers]
    return max(
        (each.get('begin', 0) for each in schedulers if each.get('by_epoch', True)), default=0
    )


def check_schedule(cfg: Config) -> None:
    """Refuse a training that ends before its warm-up does; mmengine's own words do not help."""
    epochs, warm_up = cfg.get('train_cfg', {}).get('max_epochs'), warm_up_epochs(cfg)
    if epochs and warm_up >= epochs:
        raise InputError(
            f'train_cfg.max_epochs={epochs} leaves nothing after the {counted(warm_up, "epoch")} '
            'of warm-up: raise it, or shorten the warm-up with --cfg-options '
            'param_scheduler.0.end=1 param_scheduler.1.begin=1'
        )


def count_accumulation(cfg: Config) -> None:
    """Let accumulated iterations count for the learning rate, which mmengine leaves out."""
    count = cfg.optim_wrapper.get('accumulative_counts', 1)
    if count > 1 and cfg.get('auto_scale_lr', {}).get('base_batch_size'):
        cfg.auto_scale_lr.base_batch_size /= count
