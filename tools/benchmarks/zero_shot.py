"""Time of a whole zero-shot evaluation over that of the bare backbone, and its memory.

- ``evaluation``: from a loaded batch to its results: resizing, normalisation, backbone, similarity
  maps, upsampling, and IoU at all 23 thresholds for every prompt. ``loading`` is apart: reading
  photographs, decoding masks and drawing prompts, which workers do beside it in a run.
- ``floor``: forward of the backbone on the same images, already resized and normalised.

Both run in turn on each batch, and the ratio is that of their sums.

The memory is the most bytes of tensors that the metric holds for an image beside its inputs, over
the number of prompts on each mask.

Example:
    COCO_ROOT=/path/to/coco python tools/benchmarks/zero_shot.py --batch 2 --max-images 20
    COCO_ROOT=/path/to/coco python tools/benchmarks/zero_shot.py --config zero_shot/vit_coco.py \\
        --checkpoint checkpoint.pth --batch 8 --device cuda
"""

import argparse
import json
import platform
from functools import partial
from pathlib import Path

import numpy as np
import torch
from memory import MIB, LiveBytes, gpu_peak_bytes
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.logging import MMLogger
from mmengine.registry import init_default_scope
from mmpretrain.registry import DATASETS, METRICS, MODELS
from timing import timed

from mmc_plugin.engine import cli
from mmc_plugin.errors import InputError

PROMPTS = (1, 4, 16, 64)


def parse_args():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        '--config', default='zero_shot/random_vits_coco.py', help='an evaluation of clicks'
    )
    parser.add_argument('--checkpoint', help='for a config that loads weights')
    parser.add_argument('--batch', type=int, default=2, help='images at once')
    parser.add_argument(
        '--max-images', type=int, default=20, help='only so many images of the data set'
    )
    parser.add_argument(
        '--device',
        default='cuda' if torch.cuda.is_available() else 'cpu',
        help='cpu or cuda; by default cuda if there is one',
    )
    parser.add_argument('--threads', type=int, default=1, help='threads on a CPU')
    parser.add_argument('--out', type=Path, help='JSON file for the results')
    return parser.parse_args()


def build(args):
    """Model, data set and metric of a config."""
    init_default_scope('mmpretrain')
    MMLogger.get_instance('benchmark', log_level='ERROR')
    cfg = Config.fromfile(cli.find_config(args.config))
    if cfg.checkpoint_key is not None:
        cfg.merge_from_dict({cfg.checkpoint_key: args.checkpoint})
    cfg.test_dataloader.dataset.max_images = args.max_images
    dataset = DATASETS.build(cfg.test_dataloader.dataset)
    metric = METRICS.build(cfg.test_evaluator[0])
    metric.dataset_meta = dataset.metainfo
    return MODELS.build(cfg.model).to(args.device), dataset, metric


def measure(args, model, dataset, metric):
    """Seconds of loading, evaluation and floor for each batch, shape (batches, 3)."""

    def load(numbers):
        return pseudo_collate([dataset[i] for i in numbers])

    def evaluate(data):
        outputs = model.test_step(data)
        metric.process(data, [each.to_dict() for each in outputs])

    def floor(inputs):
        with torch.no_grad():
            model.backbone(inputs)

    times = []
    for start in range(0, len(dataset), args.batch):
        numbers = range(start, min(start + args.batch, len(dataset)))
        loading, data = timed(partial(load, numbers), args.device)
        evaluation, _ = timed(partial(evaluate, data), args.device)
        least, _ = timed(partial(floor, model.prepare(data['inputs'])), args.device)
        times.append([loading, evaluation, least])
    return np.array(times[1:])  # the first batch warms up


def peak_over_prompts(args, model, dataset, metric):
    """MiB that the metric holds at most for an image with so many prompts on each mask."""
    draw = next(step for step in dataset.pipeline.transforms if hasattr(step, 'repeats'))
    found = {}
    for repeats in PROMPTS:
        draw.repeats = repeats
        sample = model.test_step(pseudo_collate([dataset[0]]))[0].to_dict()
        if torch.device(args.device).type == 'cuda':
            peak, before = gpu_peak_bytes(partial(metric.process, {}, [sample]), args.device)
            peak -= before
        else:
            with LiveBytes() as counter:
                metric.process({}, [sample])
            peak = counter.peak
        found[repeats] = peak / MIB
    return found


def main():
    args = parse_args()
    torch.set_num_threads(args.threads)
    on_gpu = torch.device(args.device).type == 'cuda'
    with cli.one_sentence_errors():
        model, dataset, metric = build(args)
        if len(dataset) <= args.batch:
            raise InputError('--max-images must be more than --batch: the first batch warms up')
    times = measure(args, model, dataset, metric)
    loading, evaluation, floor = times.sum(0)
    masks = dataset[0]['data_samples'].masks
    results = dict(
        config=args.config,
        checkpoint=args.checkpoint,
        batch=args.batch,
        images=len(dataset),
        device=torch.cuda.get_device_name(args.device) if on_gpu else platform.machine(),
        threads=None if on_gpu else args.threads,
        torch=torch.__version__,
        ratio=evaluation / floor,
        ratio_with_loading=(evaluation + loading) / floor,
        seconds=dict(loading=loading, evaluation=evaluation, floor=floor),
        batches=times.tolist(),
        peak_mib=peak_over_prompts(args, model, dataset, metric),
    )
    print(
        f'{args.config}, batches of {args.batch}, {results["device"]}: evaluation / floor = '
        f'{results["ratio"]:.3f}, with loading in the same process '
        f'{results["ratio_with_loading"]:.3f}'
    )
    peaks = ', '.join(f'{number}: {peak:.1f}' for number, peak in results['peak_mib'].items())
    print(f'MiB held by the metric over the prompts on each of {len(masks)} masks: {peaks}')
    if args.out is not None:
        args.out.write_text(json.dumps(results, indent=2) + '\n')


if __name__ == '__main__':
    main()
