"""Train a model with a config, on the command line that OpenMMLab users know.

Usage::

    python tools/train.py configs/mmc/vits_folder.py [--resume] [--cfg-options key=value ...]
"""

import argparse
import os
from pathlib import Path


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description='Train a model')
    parser.add_argument(
        'config', help='a config file, or the name of one of mmc_plugin, such as mmc/vitb_400e.py'
    )
    parser.add_argument('--work-dir', help='folder for logs and checkpoints')
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        metavar='CHECKPOINT',
        help='go on from this checkpoint; without a path, from the newest whole one in the work '
        'dir, or from the start if there is none; settings are those that the work dir holds, '
        'changed by --cfg-options',
    )
    parser.add_argument(
        '--amp', action='store_true', help='train in the precision that fits the machine'
    )
    parser.add_argument('--no-validate', action='store_true', help='do not evaluate in between')
    parser.add_argument(
        '--auto-scale-lr',
        action='store_true',
        help='scale the learning rate with the total batch size',
    )
    parser.add_argument(
        '--allow-pickle',
        action='store_true',
        help='read checkpoints that run code; only for files that you trust',
    )
    parser.add_argument(
        '--allow-misfit',
        action='store_true',
        help='start from load_from or --resume though most of its weights do not fit the model',
    )
    parser.add_argument(
        '--strict-config',
        choices=['on', 'off'],
        default='on',
        help='off: take keys that nothing reads and values that void a training',
    )
    parser.add_argument(
        '--no-pin-memory', action='store_true', help='do not pin memory in dataloaders'
    )
    parser.add_argument(
        '--no-persistent-workers',
        action='store_true',
        help='start the workers of dataloaders anew each epoch',
    )
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action='extend',
        metavar='KEY=VALUE',
        help='override settings of the config; lists as key="[a,b]"; an existing path, or what '
        'stands in quotes of its own (key="\'a,b\'"), is taken as it is',
    )
    parser.add_argument('--launcher', choices=['none', 'pytorch', 'slurm', 'mpi'], default='none')
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0)
    args = parser.parse_args()
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    return args


if __name__ == '__main__':
    parse_args()  # help and mistakes are answered before seconds of imports

import torch
from mmengine.config import Config

from mmc_plugin.engine import cli
from mmc_plugin.engine.checkpoint import (
    BrokenCheckpointError,
    find_resumable_checkpoint,
    inspect_checkpoint,
)
from mmc_plugin.engine.fitting import fit_to_data
from mmc_plugin.engine.hooks.loss_guard import check_train_dataloader
from mmc_plugin.engine.resumed_config import load_resumed_config
from mmc_plugin.engine.runner import build_runner
from mmc_plugin.engine.weights_check import check_weights
from mmc_plugin.errors import InputError

TRAINING = ('model', 'train_dataloader', 'train_cfg', 'optim_wrapper')
AUTO_PRECISION = ('AutoPrecisionOptimWrapper', 'ShardedAutoPrecisionOptimWrapper')
MIXED_PRECISION = ('AmpOptimWrapper', 'BFloat16OptimWrapper', 'ShardedBFloat16OptimWrapper')


def use_mixed_precision(cfg: Config) -> None:
    """Let ``cfg.optim_wrapper`` choose the precision that fits the machine."""
    wrapper = cfg.optim_wrapper
    kind = wrapper.get('type', 'OptimWrapper')
    name = kind.rpartition('.')[2] if isinstance(kind, str) else kind.__name__
    precision = wrapper.get('precision', 'auto') if name in AUTO_PRECISION else None
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


def check_schedule(cfg: Config) -> None:
    """Refuse a training that ends before its warm-up does; mmengine's own words do not help."""
    epochs = cfg.get('train_cfg', {}).get('max_epochs')
    for scheduler in cfg.get('param_scheduler') or []:
        begin = scheduler.get('begin', 0)
        if epochs and scheduler.get('by_epoch', True) and begin >= epochs:
            raise InputError(
                f'train_cfg.max_epochs={epochs} leaves nothing after the {begin} epochs of '
                'warm-up: raise it, or shorten the warm-up with --cfg-options '
                'param_scheduler.0.end=1 param_scheduler.1.begin=1'
            )


def count_accumulation(cfg: Config) -> None:
    """Let accumulated iterations count for the learning rate, which mmengine leaves out."""
    count = cfg.optim_wrapper.get('accumulative_counts', 1)
    if count > 1 and cfg.get('auto_scale_lr', {}).get('base_batch_size'):
        cfg.auto_scale_lr.base_batch_size /= count


def build_config(args: argparse.Namespace) -> Config:
    """The config of the run, with the command line merged in."""
    load = cli.load_config if args.resume is None else load_resumed_config
    cfg = load(
        args.config,
        args.cfg_options,
        args.launcher,
        args.work_dir,
        strict=args.strict_config == 'on',
    )
    if args.no_validate:
        cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    missing = [key for key in TRAINING if cfg.get(key) is None]
    if missing:
        raise InputError(f'the config {args.config} describes no training: it has no {missing[0]}')
    if args.amp:
        use_mixed_precision(cfg)
    fit_to_data(cfg)
    check_schedule(cfg)
    count_accumulation(cfg)
    if cfg.optim_wrapper.get('type') == 'AmpOptimWrapper' and not torch.cuda.is_available():
        raise InputError(
            'optim_wrapper.type=AmpOptimWrapper needs a GPU, and this machine shows none: use '
            'AutoPrecisionOptimWrapper'
        )
    if args.resume is not None:
        set_resume(cfg, args.resume)
    elif cfg.get('resume') and not cfg.get('load_from'):
        set_resume(cfg, 'auto')
    cli.check_checkpoints(cfg, args.allow_pickle)
    if args.auto_scale_lr:
        if cfg.get('auto_scale_lr') is None:
            raise InputError(
                '--auto-scale-lr needs auto_scale_lr=dict(base_batch_size=...) in the config'
            )
        cfg.auto_scale_lr.enable = True
    for name in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        cli.complete_loader(
            cfg,
            name,
            pin_memory=not args.no_pin_memory,
            persistent_workers=not args.no_persistent_workers,
        )
    return cfg


def main() -> None:
    args = parse_args()
    with cli.one_sentence_errors():
        cfg = build_config(args)
        cli.prepare_launch(cfg)
        runner = build_runner(cfg)
        check_weights(cfg, runner.model, args.allow_pickle, args.allow_misfit)
        check_train_dataloader(runner.train_dataloader)
        runner.train()


if __name__ == '__main__':
    main()
