"""Time of an evaluation on videos over that of the bare backbone.

- ``whole``: from the files of a sequence to its scores, masks and overlaid video on the disk:
  checks, reading, resizing, backbone, propagation, masks, J and F, PNG and MP4 files.
- ``floor``: forward of the backbone on the same frames in the same batches, already resized and
  normalised.

Both run in turn on the first frames of each sequence, and the ratio is the median of the turns.

Example:
    DAVIS_ROOT=/path/to/davis2017 python tools/benchmarks/video.py --frames 12
    DAVIS_ROOT=/path/to/davis2017 python tools/benchmarks/video.py --config video/davis2017.py \\
        --checkpoint checkpoint.pth --device cuda
"""

import argparse
import json
import platform
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace

import cv2
import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.logging import MMLogger
from mmengine.registry import init_default_scope
from mmpretrain.registry import DATASETS, METRICS, MODELS
from timing import in_turns, ratio

from mmc_plugin.engine import cli
from mmc_plugin.engine.hooks import VideoResultsHook


def parse_args():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        '--config', default='video/random_vits_davis2017.py', help='an evaluation of videos'
    )
    parser.add_argument('--checkpoint', help='for a config that loads weights')
    parser.add_argument('--frames', type=int, help='take only the first of each sequence')
    parser.add_argument('--repeats', type=int, default=1, help='turns on each sequence')
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
    dataset = DATASETS.build(cfg.test_dataloader.dataset)
    return MODELS.build(cfg.model).to(args.device), dataset, METRICS.build(cfg.test_evaluator[0])


def shorten(item, frames):
    """A sample of a data set with its first frames only."""
    clip, sample = item['inputs'], item['data_samples']
    if clip is not None and frames is not None:
        item['inputs'] = replace(clip, frames=clip.frames[:frames])
        sample.set_metainfo(
            dict(
                frame_paths=sample.frame_paths[:frames],
                mask_paths=sample.mask_paths[:frames],
            )
        )
    return item


def prepared(model, clip):
    """Frames as the backbone gets them, in batches."""
    canvas = model.canvas(*clip.first_mask.shape)
    pixels = np.stack([cv2.resize(np.ascontiguousarray(each), canvas[::-1]) for each in clip])
    images = torch.from_numpy(pixels).permute(0, 3, 1, 2)
    return [model.features.normalise(each) for each in images.split(model.batch)]


def measure(args, model, dataset, metric, place):
    """Seconds of the whole and of the floor for a sequence, shape (repeats, 2)."""
    clip = shorten(dataset[place], args.frames)['inputs']
    batches = prepared(model, clip)

    def whole():
        with TemporaryDirectory() as folder:
            data = pseudo_collate([shorten(dataset[place], args.frames)])
            outputs = model.test_step(data)
            metric.process(data, [each.to_dict() for each in outputs])
            VideoResultsHook().after_test_iter(SimpleNamespace(log_dir=folder), 0, data, outputs)

    def floor():
        with torch.no_grad():
            for images in batches:
                model.features.backbone(images)

    with torch.no_grad():
        model.features.backbone(batches[0])  # warms up
    return in_turns([whole, floor], args.repeats, 0, args.device)


def main():
    args = parse_args()
    torch.set_num_threads(args.threads)
    cv2.setNumThreads(args.threads)
    on_gpu = torch.device(args.device).type == 'cuda'
    with cli.one_sentence_errors():
        model, dataset, metric = build(args)
        usable = [i for i in range(len(dataset)) if dataset[i]['inputs'] is not None]
    times = np.concatenate([measure(args, model, dataset, metric, place) for place in usable])
    found = ratio(times[:, 0], times[:, 1])
    results = dict(
        config=args.config,
        checkpoint=args.checkpoint,
        sequences=len(usable),
        frames=args.frames,
        repeats=args.repeats,
        device=torch.cuda.get_device_name(args.device) if on_gpu else platform.machine(),
        threads=None if on_gpu else args.threads,
        torch=torch.__version__,
        ratio=found._asdict(),
        seconds=times.tolist(),
    )
    print(f'{args.config}, {results["device"]}, {len(times)} turns: whole / floor = {found}')
    if args.out is not None:
        args.out.write_text(json.dumps(results, indent=2) + '\n')


if __name__ == '__main__':
    main()
