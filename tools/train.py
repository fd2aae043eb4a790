"""Train a model with a config, on the command line that OpenMMLab users know.

Usage::

    python tools/train.py configs/mmc/vits_folder.py [--resume] [--cfg-options key=value ...]
"""

import argparse
import os
from os.path import expanduser


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description='Train a model')
    parser.add_argument(
        'config', help='a config file, or the name of one of mmc_plugin, such as mmc/vitb_400e.py'
    )
    parser.add_argument('--work-dir', type=expanduser, help='folder for logs and checkpoints')
    parser.add_argument(
        '--resume',
        type=expanduser,
        nargs='?',
        const='auto',
        metavar='CHECKPOINT',
        help='go on from this checkpoint; without a path, from the newest whole one in the work '
        'dir, or from the start if there is none; settings are those that the work dir holds, '
        'changed by --cfg-options',
    )
    parser.add_argument(
        '--init-from',
        type=expanduser,
        metavar='CHECKPOINT',
        help='start student and teacher of a pretraining with the backbone in this checkpoint, and '
        'its heads where they fit; any format that load_backbone reads: DINO, iBOT, MAE, timm, ...',
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
        help='read checkpoints whose pickle runs code; only for files that you trust',
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
        help='off: accept config keys that nothing reads, and values that make a training useless',
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
    parser.add_argument(
        '--launcher',
        choices=['none', 'pytorch', 'slurm', 'mpi'],
        default='none',
        help='what started several processes; dist_train.sh and slurm_train.sh set it',
    )
    parser.add_argument(
        '--local_rank', '--local-rank', type=int, default=0, help='set by the launcher'
    )
    args = parser.parse_args()
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    return args


if __name__ == '__main__':
    parse_args()  # help and mistakes are answered before seconds of imports

from mmengine.config import Config

from mmc_plugin.engine import cli
from mmc_plugin.engine.training import train, training_config
from mmc_plugin.errors import InputError


def build_config(args: argparse.Namespace) -> Config:
    """The config of the run, with the command line merged in."""
    cfg = training_config(
        args.config,
        args.cfg_options,
        args.work_dir,
        args.resume,
        args.init_from,
        args.launcher,
        strict=args.strict_config == 'on',
        validate=not args.no_validate,
        mixed_precision=args.amp,
        allow_pickle=args.allow_pickle,
    )
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
        train(build_config(args), args.allow_pickle, args.allow_misfit)
        cli.end_launch()


if __name__ == '__main__':
    main()
