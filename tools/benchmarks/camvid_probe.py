"""Linear probes on CamVid: a table of mIoU over seeds, one row for each backbone.

Each row is a config of configs/segmentation and a checkpoint; each seed is a training and a test of
the head. With cached configs the backbone runs once for all seeds of a row.

Example:
    python tools/benchmarks/camvid_probe.py --data /data/camvid --out work_dirs/camvid \\
        --row random=vitt_camvid_linear_cached.py,None \\
        --row MMC=vitt_camvid_linear_cached.py,mmc.pth \\
        --row S/14=vits14_camvid_linear_cached.py,vit_s_focus.onnx
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

TOOLS = Path(__file__).resolve().parents[1]


def parse_args():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--data', type=Path, required=True, help='folder of CamVid')
    parser.add_argument('--out', type=Path, required=True, help='folder for runs and features')
    parser.add_argument(
        '--row', action='append', required=True, metavar='NAME=CONFIG,CHECKPOINT',
        help="checkpoint None: random weights, other ones for each seed",
    )  # fmt: skip
    parser.add_argument(
        '--seeds', type=int, nargs='+', default=[0, 1, 2], help='one training and one test for each'
    )
    parser.add_argument('--cfg-options', nargs='+', default=[], help='as of train.py, for all rows')
    return parser.parse_args()


def probe(args, name, config, checkpoint, seed):
    """Train and test one head; its numbers. What has been measured before is read."""
    work_dir = args.out / name.replace('/', '_') / f'seed_{seed}'
    figures = work_dir / 'test_last.json'
    if not figures.is_file():
        environment = dict(
            os.environ, CAMVID_ROOT=str(args.data.resolve()), MMC_CHECKPOINT='None',
            MMC_FEATURE_CACHE=str(args.out.resolve() / 'features'),
        )  # fmt: skip
        options = [
            '--work-dir', str(work_dir), '--cfg-options', f'model.backbone.checkpoint={checkpoint}',
            f'randomness.seed={seed}', 'default_hooks.checkpoint.filename_tmpl=last.pth',
            'default_hooks.checkpoint.interval=1000000', *args.cfg_options,
        ]  # fmt: skip
        tools = dict(train=['--no-validate'], test=[str(work_dir / 'last.pth')])
        for tool, given in tools.items():
            command = [sys.executable, TOOLS / f'{tool}.py', f'segmentation/{config}']
            subprocess.run([*map(str, command), *given, *options], env=environment, check=True)
    return json.loads(figures.read_text())['numbers']


def main():
    args = parse_args()
    rows = []
    for row in args.row:
        name, _, rest = row.partition('=')
        config, _, checkpoint = rest.partition(',')
        rows.append((name, [probe(args, name, config, checkpoint, seed) for seed in args.seeds]))
    print('| backbone | mIoU, each seed | mean | mAcc | aAcc |')
    print('|---|---|---|---|---|')
    for name, found in rows:
        each = ', '.join(f'{numbers["mIoU"]:.2f}' for numbers in found)
        means = [np.mean([numbers[key] for numbers in found]) for key in ('mIoU', 'mAcc', 'aAcc')]
        print(f'| {name} | {each} | ' + ' | '.join(f'{mean:.2f}' for mean in means) + ' |')
    print('\n| class | ' + ' | '.join(name for name, _ in rows) + ' |')
    print('|---' * (len(rows) + 1) + '|')
    for label in rows[0][1][0]['IoU']:
        means = [np.mean([numbers['IoU'][label] for numbers in found]) for _, found in rows]
        print(f'| {label} | ' + ' | '.join(f'{mean:.1f}' for mean in means) + ' |')


if __name__ == '__main__':
    main()
