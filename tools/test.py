"""Test a checkpoint with a config, on the command line that OpenMMLab users know.

Usage::

    python tools/test.py CONFIG CHECKPOINT [--out results.json --out-item metrics]
"""

import argparse
import os
from os.path import expanduser
from pathlib import Path


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description='Test a model')
    parser.add_argument(
        'config',
        help='a config file, or the name of one of mmc_plugin, such as zero_shot/vit_coco.py',
    )
    parser.add_argument('checkpoint', help='checkpoint file')
    parser.add_argument('--work-dir', type=expanduser, help='folder for logs and results')
    parser.add_argument(
        '--out', type=expanduser, help='file for the results: .pkl, or .json for metrics'
    )
    parser.add_argument(
        '--out-item',
        choices=['metrics', 'pred'],
        help='what goes into --out: the metrics, or the prediction for each sample (default)',
    )
    parser.add_argument('--amp', action='store_true', help='test in mixed precision')
    parser.add_argument(
        '--show-dir', type=expanduser, help='folder for pictures of the predictions'
    )
    parser.add_argument('--interval', type=int, default=1, help='one picture per this many samples')
    parser.add_argument(
        '--allow-pickle',
        action='store_true',
        help='read checkpoints whose pickle runs code; only for files that you trust',
    )
    parser.add_argument(
        '--allow-misfit',
        action='store_true',
        help='test though some weights of the checkpoint do not fit the model',
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
        help='what started several processes; dist_test.sh and slurm_test.sh set it',
    )
    parser.add_argument(
        '--local_rank', '--local-rank', type=int, default=0, help='set by the launcher'
    )
    args = parser.parse_args(argv)
    if args.out is None and args.out_item is not None:
        parser.error('--out-item needs --out')
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    return args


if __name__ == '__main__':
    parse_args()  # help and mistakes are answered before seconds of imports

import mmengine
from mmengine.config import Config
from mmengine.evaluator import DumpResults

from mmc_plugin.engine import cli
from mmc_plugin.engine.config_checks import check_options
from mmc_plugin.engine.runner import build_runner
from mmc_plugin.engine.weights_check import check_weights
from mmc_plugin.errors import InputError


def build_config(args: argparse.Namespace) -> Config:
    """The config of the test, with the command line merged in."""
    cfg = cli.load_config(
        args.config,
        args.cfg_options,
        args.launcher,
        args.work_dir,
        strict=args.strict_config == 'on',
    )
    missing = [
        key for key in ('test_dataloader', 'test_cfg', 'test_evaluator') if cfg.get(key) is None
    ]
    if missing:
        raise InputError(f'the config {args.config} describes no test: it has no {missing[0]}')
    if 'checkpoint_key' in cfg:
        give_backbone_checkpoint(cfg, args)
    else:
        if '://' not in args.checkpoint and not Path(args.checkpoint).is_file():
            raise FileNotFoundError(f'the checkpoint {args.checkpoint} does not exist')
        cfg.load_from = args.checkpoint
    cfg.resume = False
    cli.check_checkpoints(cfg, args.allow_pickle)
    if args.amp:
        cfg.test_cfg.fp16 = True
    if args.show_dir is not None:
        if 'visualization' not in cfg.get('default_hooks', {}):
            raise InputError('--show-dir needs a visualization hook in default_hooks of the config')
        if cfg.default_hooks.visualization.type == 'SegVisualizationHook':
            # mmseg's own takes other settings and draws no legend.
            cfg.default_hooks.visualization = dict(type='SegmentationPanelHook')
        if cfg.default_hooks.visualization.type == 'DetVisualizationHook':
            if args.interval != 1:
                raise InputError('--interval: mmdet draws each image of a test; leave it out')
            # Relative paths would be taken below the log's folder.
            settings = dict(draw=True, test_out_dir=os.path.abspath(args.show_dir))
        else:
            settings = dict(enable=True, out_dir=args.show_dir, interval=args.interval)
        cfg.default_hooks.visualization.update(settings)
    cli.complete_loader(cfg, 'test_dataloader', pin_memory=not args.no_pin_memory)
    return cfg


def give_backbone_checkpoint(cfg: Config, args: argparse.Namespace) -> None:
    """Write the checkpoint where the config's ``checkpoint_key`` says, in place.

    Configs of frozen features have that key: their backbone reads the checkpoint, in any format
    that ``load_backbone`` knows. Where it is None there is nothing to load.
    """
    if cfg.checkpoint_key is None:
        if args.checkpoint != 'none':
            raise InputError(
                f'the config {args.config} loads no weights: write none in the place of '
                f'{args.checkpoint}'
            )
        return
    if args.strict_config == 'on':
        check_options(cfg, {cfg.checkpoint_key: args.checkpoint})
    cfg.merge_from_dict({cfg.checkpoint_key: args.checkpoint})
    if args.allow_pickle:
        place = cfg.checkpoint_key.rpartition('.')[0]
        cfg.merge_from_dict({f'{place}.allow_pickle': True})


def test(cfg: Config, args: argparse.Namespace) -> None:
    """Run the evaluation, and write what ``--out`` asks for."""
    runner = build_runner(cfg)
    check_weights(cfg, runner.model, args.allow_pickle, args.allow_misfit, test=True)
    if args.out and args.out_item != 'metrics':
        runner.test_evaluator.metrics.append(DumpResults(out_file_path=args.out))
    metrics = runner.test()
    if args.out and args.out_item == 'metrics' and runner.rank == 0:
        mmengine.dump(metrics, args.out)


def main() -> None:
    args = parse_args()
    with cli.one_sentence_errors():
        cfg = build_config(args)
        cli.prepare_launch(cfg)
        test(cfg, args)
        cli.end_launch()


if __name__ == '__main__':
    main()
