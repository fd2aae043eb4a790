"""Finer masks of one click without training: what stride, refinement and debiasing give and cost.

The similarity is the cosine of tokens less their mean over the image. Thresholds and the settings
of the refinements are chosen, for each network, on the images with even ids; mIoU and the boundary
F of DAVIS are those of the images with odd ones. The cost is the time of one click on a new image
over that of the first row.

Example:
    COCO_ROOT=/path/to/coco python tools/benchmarks/finer_masks.py MMC=checkpoint.pth random \\
        --out finer.json
"""

import itertools
from functools import partial

import numpy as np
import torch
from clicks import halves, networks
from timing import timed

from mmc_plugin.evaluation.functional.davis_scores import boundary_accuracy
from mmc_plugin.evaluation.functional.refinement import BILATERAL, GUIDED, refine_maps
from mmc_plugin.evaluation.report import write_report

THRESHOLDS = [round(0.05 * i, 2) for i in range(1, 20)]
SETTINGS = dict(
    guided=[
        dict(GUIDED, radius=radius, eps=eps)
        for radius, eps in itertools.product((0.5, 1.0, 2.0), (1e-3, 1e-2))
    ],
    bilateral=[
        dict(BILATERAL, spatial=spatial, smoothness=smoothness)
        for spatial, smoothness in itertools.product((0.5, 1.0), (64.0, 256.0))
    ],
)
TIMED = 15  # refinements of one map, as a click needs it
# Finer grid, what the positional part is estimated on, refinement.
ROWS = (
    (False, None, None), (True, None, None), (False, None, 'guided'), (False, None, 'bilateral'),
    (False, 'mean', None), (False, 'noise', None), (False, 'mean', 'guided'),
    (True, None, 'guided'), (True, None, 'bilateral'), (True, 'mean', 'guided'),
)  # fmt: skip


def words(row):
    """The name of a row."""
    fine, debias, how = row
    parts = ['stride' if fine else '', f'debias ({debias})' if debias else '', how or '']
    return ' + '.join(each for each in parts if each) or 'none'


def stride_of(model):
    """Half of the patch, or the next divisor of it below."""
    return max(each for each in range(1, model.patch_size // 2 + 1) if not model.patch_size % each)


class Measured:
    """The maps of one network on images, and the seconds they take."""

    def __init__(self, model, device):
        self.model, self.device, self.kept = model, device, {}
        self.seconds, self.refining = {}, {}
        size = (model.canvas(), model.canvas())
        self.places = {
            (fine, debias): model.positional(debias, size, -1, stride_of(model) if fine else None)
            for fine, debias, _ in ROWS
            if debias
        }

    def tokens(self, image, fine, debias):
        """Tokens, kept for the rows that share them."""
        if self.kept.get('image') != image.number:
            self.kept = dict(image=image.number)
        if fine not in self.kept:
            run = partial(image.tokens, self.model, stride_of(self.model) if fine else None)
            seconds, self.kept[fine] = timed(run, self.device)
            self.seconds.setdefault(fine, []).append(seconds)
        tokens = self.kept[fine]
        return tokens - self.places[fine, debias] if debias else tokens

    def maps(self, image, row, settings):
        """Similarities at the size of the image, (P, H, W)."""
        fine, debias, how = row
        tokens, frame = self.tokens(image, fine, debias), image.frame(self.model)
        maps = frame.upsample(image.maps(self.model, tokens, True)).cpu()
        if how is None:
            return maps
        cells = frame.content_cells(*tokens.shape[:2])
        times = self.refining.setdefault(row, [])
        if len(times) < TIMED:
            one = partial(refine_maps, maps[:1], image.pixels, how, cells, settings)
            times.append(timed(one, 'cpu')[0])
        return refine_maps(maps, image.pixels, how, cells, settings)

    def cost(self, row):
        """Seconds of a click on a new image over those of one forward."""
        fine, _, how = row
        forward = np.median(self.seconds[False])
        refining = np.median(self.refining[row]) if how else 0
        return (np.median(self.seconds[fine]) + refining) / forward


def curve(measured, images, choices):
    """mIoU (T, ) at each threshold, for each (row, settings)."""
    found = [[] for _ in choices]
    for image in images:
        for each, (row, settings) in zip(found, choices, strict=True):
            each.append(image.ious(measured.maps(image, row, settings), torch.tensor(THRESHOLDS)))
    return [torch.cat(each).mean(0).numpy() for each in found]


def score(measured, images, choices):
    """mIoU and mean boundary F for each (row, settings, threshold)."""
    found = [[] for _ in choices]
    for image in images:
        for each, (row, settings, threshold) in zip(found, choices, strict=True):
            full = measured.maps(image, row, settings)
            iou = image.ious(full, torch.tensor([threshold]))[:, 0].tolist()
            masks = ((full > threshold) & ~image.ignore).numpy()
            for value, mask, owner in zip(iou, masks, image.owner, strict=True):
                each.append((value, boundary_accuracy(image.masks[owner].numpy(), mask)))
    return [np.mean(each, 0) for each in found]


def best_of(values, tried, how):
    """Which of the (row, settings) with a refinement has the highest value."""
    return max((i for i, (row, _) in enumerate(tried) if row[2] == how), key=lambda i: values[i])


def main(argv=None):
    with halves(__doc__, argv) as (args, even, odd):
        tried = [((False, None, how), each) for how, all_of in SETTINGS.items() for each in all_of]
        networks_found, searches = [], []
        print('| network | | mIoU | boundary F | at | cost |\n' + '|---' * 6 + '|', flush=True)
        for name, model in networks(args):
            measured = Measured(model, args.device)
            search = [float(each.max()) for each in curve(measured, even, tried)]
            searches.append(search)
            best = {how: best_of(search, tried, how) for how in SETTINGS}
            settings = {how: tried[i][1] for how, i in best.items()} | {None: None}
            choices = [(row, settings[row[2]]) for row in ROWS]
            at = [THRESHOLDS[int(each.argmax())] for each in curve(measured, even, choices)]
            scores = score(measured, odd, [(*each, t) for each, t in zip(choices, at, strict=True)])
            rows = []
            for row, t, (iou, f) in zip(ROWS, at, scores, strict=True):
                cost = measured.cost(row)
                rows.append(dict(row=words(row), miou=iou, f=f, at=t, cost=cost))
                print(f'| {name} | {words(row)} | {100 * iou:.1f} | {100 * f:.1f} | {t:g} | '
                      f'{cost:.2f} |', flush=True)  # fmt: skip
            networks_found.append(dict(name=name, settings=best, search=search, rows=rows))
            print(f'chosen for {name}: {settings["guided"]}, {settings["bilateral"]}', flush=True)
        mean = np.mean(searches, 0)
        for how in SETTINGS:
            print(f'{how}, best in the mean over the networks, even ids: '
                  f'{tried[best_of(mean, tried, how)][1]}')  # fmt: skip
    if args.out is not None:
        write_report(
            str(args.out), 'mIoU and boundary F of one click on images with odd ids; settings and '
            'thresholds chosen on those with even ids.', args.config, ' '.join(args.network),
            dict(networks=networks_found, tried=[each for _, each in tried],
                 images=[len(even), len(odd)]),
        )  # fmt: skip


if __name__ == '__main__':
    main()
