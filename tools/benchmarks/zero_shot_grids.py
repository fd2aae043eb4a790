"""What finer grids of tokens give and cost in zero-shot segmentation, on the same prompts.

A grid is SIZE or SIZE:STRIDE: images are resized to SIZE pixels; with a STRIDE below the patch size
the tokens of (patch / STRIDE)² shifted passes are averaged. The cost is the time of the backbone
over that of the first grid.

Example:
    COCO_ROOT=/path/to/coco python tools/benchmarks/zero_shot_grids.py CHECKPOINT \\
        --grids 480 720 960 480:8 --out grids.json
"""

import argparse
from functools import partial
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.logging import MMLogger
from mmengine.registry import init_default_scope
from mmpretrain.registry import DATASETS, METRICS
from timing import timed

from mmc_plugin.apis.features import frozen_features
from mmc_plugin.engine import cli
from mmc_plugin.errors import InputError
from mmc_plugin.evaluation.report import write_report
from mmc_plugin.models.features import FrozenFeatures


def parse_args(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('checkpoint', help='a file, folder, timm:<name> or hf:<name>')
    parser.add_argument('--config', default='zero_shot/vit_coco.py', help='for its data set')
    parser.add_argument(
        '--grids',
        nargs='+',
        default=['480', '960', '480:8'],
        help='SIZE of the resized image, or SIZE:STRIDE, in pixels',
    )
    parser.add_argument('--max-images', type=int, help='only so many images of the data set')
    parser.add_argument(
        '--device',
        default='cuda' if torch.cuda.is_available() else 'cpu',
        help='cpu or cuda; by default cuda if there is one',
    )
    parser.add_argument('--threads', type=int, default=1, help='threads on a CPU')
    parser.add_argument('--out', type=Path, help='JSON file for the results')
    return parser.parse_args(argv)


def read_grid(text):
    """(480, 8) of ``480:8``, (480, None) of ``480``.

    Raises:
        ValueError: If it is neither.
    """
    size, _, stride = text.partition(':')
    try:
        return int(size), int(stride) if stride else None
    except ValueError:
        raise InputError(f'--grids: {text} is neither SIZE nor SIZE:STRIDE') from None


def evaluate(backbone, cfg, dataset, size, stride, device):
    """Numbers of the metric, side of the grid, and seconds an image in the backbone."""
    model = FrozenFeatures(backbone, size, stride=stride).to(device)
    metric = METRICS.build(cfg.test_evaluator[0])
    metric.dataset_meta = dataset.metainfo
    seconds = 0.0
    for i in range(len(dataset)):
        data = pseudo_collate([dataset[i]])
        taken, outputs = timed(partial(model.test_step, data), device)
        seconds += taken
        metric.process(data, [each.to_dict() for each in outputs])
        side = outputs[0].tokens.shape[0]
    metric.evaluate(len(dataset))
    return metric.numbers, side, seconds / len(dataset)


def main(argv=None):
    args = parse_args(argv)
    torch.set_num_threads(args.threads)
    init_default_scope('mmpretrain')
    MMLogger.get_instance('benchmark', log_level='ERROR')
    with cli.one_sentence_errors():
        grids = [read_grid(each) for each in args.grids]
        cfg = Config.fromfile(cli.find_config(args.config))
        cfg.test_dataloader.dataset.max_images = args.max_images
        dataset = DATASETS.build(cfg.test_dataloader.dataset)
        backbone = frozen_features(args.checkpoint, args.device).backbone
        rows = []
        print('| grid | tokens | best mIoU | at | mIoU small | medium | large | cost |')
        print('|---|---|---|---|---|---|---|---|', flush=True)
        for text, (size, stride) in zip(args.grids, grids, strict=True):
            numbers, side, seconds = evaluate(backbone, cfg, dataset, size, stride, args.device)
            rows.append(dict(grid=text, tokens=side, seconds=seconds, numbers=numbers))
            best = numbers['best']
            sizes = [numbers['sizes'][name].get('best', float('nan')) for name in numbers['sizes']]
            print(
                f'| {text} | {side} × {side} | {100 * best["miou"]:.1f} ± '
                f'{100 * best["deviation"]:.1f} | {best["threshold"]:g} | '
                + ''.join(f'{100 * each:.1f} | ' for each in sizes)
                + f'{seconds / rows[0]["seconds"]:.2f} × |', flush=True,
            )  # fmt: skip
    if args.out is not None:
        write_report(
            str(args.out), 'Zero-shot segmentation by one click on grids of several widths, the '
            'same prompts for all; seconds an image in the backbone.', args.config,
            args.checkpoint, dict(grids=rows, images=len(dataset)),
        )  # fmt: skip


if __name__ == '__main__':
    main()
