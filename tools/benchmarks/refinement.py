"""Time to make one similarity map follow the edges of its image, for each of several images.

Images of a folder are brought to one size; the map is noise of patches, smoothed over two of them
and upsampled. Times are those of the processor, the median of the repeats.

Example:
    python tools/benchmarks/refinement.py /path/to/coco/val2017 --images 12
"""

import argparse
import json
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import torch
from timing import in_turns

from mmc_plugin.apis.features import to_pixels
from mmc_plugin.datasets.image_tree import scan_paths
from mmc_plugin.engine import cli
from mmc_plugin.evaluation.functional.refinement import REFINEMENTS, refine_maps


def parse_args(argv):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('folder', help='photographs')
    parser.add_argument('--images', type=int, default=12, help='evenly drawn from the folder')
    parser.add_argument('--width', type=int, default=640, help='of an image, in pixels')
    parser.add_argument('--height', type=int, default=480, help='likewise')
    parser.add_argument('--cell', type=int, default=16, help='side of a patch in pixels')
    parser.add_argument('--threads', type=int, default=1, help='of OpenCV and torch')
    parser.add_argument('--repeats', type=int, default=7, help='turns that enter the median')
    parser.add_argument('--out', type=Path, help='JSON file for the results')
    return parser.parse_args(argv)


def similarity(cells, size, seed):
    """A map (1, H, W) without anything to do with the image."""
    noise = np.random.default_rng(seed).normal(size=cells).astype(np.float32)
    return torch.from_numpy(cv2.resize(cv2.GaussianBlur(noise, (0, 0), 2), size))[None]


def main(argv=None):
    args = parse_args(argv)
    torch.set_num_threads(args.threads)
    cv2.setNumThreads(args.threads)
    size, cells = (args.width, args.height), (args.height // args.cell, args.width // args.cell)
    with cli.one_sentence_errors():
        paths = list(scan_paths([args.folder]))
        rows = []
        for path in paths[:: max(1, len(paths) // args.images)][: args.images]:
            image = cv2.resize(to_pixels(path).permute(1, 2, 0).numpy(), size)
            pixels = torch.from_numpy(image).permute(2, 0, 1)
            maps = similarity(cells, size, len(rows))
            runs = [partial(refine_maps, maps, pixels, how, cells) for how in REFINEMENTS]
            rows.append(1000 * np.median(in_turns(runs, args.repeats, 1, 'cpu'), 0))
    for how, times in zip(REFINEMENTS, np.array(rows).T, strict=True):
        print(f'{how}: {times.min():.0f} to {times.max():.0f} ms, median {np.median(times):.0f} '
              f'({len(rows)} images of {args.width} × {args.height})')  # fmt: skip
    if args.out is not None:
        found = dict(milliseconds=dict(zip(REFINEMENTS, np.array(rows).T.tolist(), strict=True)))
        args.out.write_text(json.dumps(dict(vars(args), out=None, **found), indent=2) + '\n')


if __name__ == '__main__':
    main()
