"""Finer masks of one click without training: what stride, refinement and debiasing give and cost.

The similarity is the cosine of tokens less their mean over the image. Thresholds and the settings
of the refinements are chosen, for each network, on the images with even ids; mIoU and the boundary
F of DAVIS are those of the images with odd ones. The cost is the time of one click on a new image
over that of the first row. With ``--out`` what each image gave is kept beside it, in a file of the
same name ending in ``.jsonl``, so that a killed run goes on where it was.

Example:
    COCO_ROOT=/path/to/coco python tools/benchmarks/finer_masks.py MMC=checkpoint.pth random \\
        --out finer.json
"""

import itertools
import json
from functools import partial

import numpy as np
import torch
from clicks import halves, networks
from timing import timed

from mmc_plugin.errors import InputError
from mmc_plugin.evaluation.functional.davis_scores import boundary_accuracy
from mmc_plugin.evaluation.functional.refinement import BILATERAL, GUIDED, refine_maps
from mmc_plugin.evaluation.report import write_report
from mmc_plugin.models.features import weights_digest

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
TIMED = 9  # images
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


class Journal:
    """Results of images, by the weights and all that they depend on; in a file if there is one."""

    def __init__(self, path, settings):
        self.path, self.found = path, {}
        first = json.dumps(settings)
        if path is None:
            return
        # The last line of a killed run may be half of one.
        lines = [each for each in self._lines() if each.endswith('\n')]
        if lines and lines[0].rstrip('\n') != first:
            raise InputError(f'{path} holds results with other settings: name another --out.')
        path.write_text(''.join(lines or [first + '\n']))
        self.found = dict(json.loads(each) for each in lines[1:])

    def _lines(self):
        return self.path.read_text().splitlines(keepends=True) if self.path.is_file() else []

    def get(self, key, compute):
        """What is known, or what is now computed."""
        key = json.dumps(key)
        if key not in self.found:
            self.found[key] = compute()
            if self.path is not None:
                with open(self.path, 'a') as file:
                    file.write(json.dumps([key, self.found[key]]) + '\n')
        return self.found[key]


class Measured:
    """The maps of one network on images."""

    def __init__(self, model):
        self.model, self.kept = model, {}
        size = (model.canvas(), model.canvas())
        self.places = {
            (fine, debias): model.positional(debias, size, -1, stride_of(model) if fine else None)
            for fine, debias, _ in ROWS
            if debias
        }

    def encode(self, image, fine):
        """Tokens as they are."""
        return image.tokens(self.model, stride_of(self.model) if fine else None)

    def tokens(self, image, fine, debias):
        """Tokens, kept for the rows that share them."""
        if self.kept.get('image') != image.number:
            self.kept = dict(image=image.number)
        if fine not in self.kept:
            self.kept[fine] = self.encode(image, fine)
        tokens = self.kept[fine]
        return tokens - self.places[fine, debias] if debias else tokens

    def plain(self, image, row):
        """Similarities at the size of the image, (P, H, W)."""
        tokens = self.tokens(image, *row[:2])
        return image.frame(self.model).upsample(image.maps(self.model, tokens, True)).cpu()

    def refined(self, image, row, settings, maps):
        """The same after the refinement of a row."""
        cells = image.frame(self.model).content_cells(*self.tokens(image, *row[:2]).shape[:2])
        return refine_maps(maps, image.pixels, row[2], cells, settings)

    def maps(self, image, row, settings):
        """What a row says, (P, H, W)."""
        maps = self.plain(image, row)
        return self.refined(image, row, settings, maps) if row[2] else maps


def costs(measured, images, choices, device):
    """Seconds of a click on a new image over those of one forward, for each (row, settings)."""
    encoding, refining = {False: [], True: []}, [[] for _ in choices]
    for image in images:
        for fine, times in encoding.items():
            times.append(timed(partial(measured.encode, image, fine), device)[0])
        for (row, settings), times in zip(choices, refining, strict=True):
            if row[2]:
                run = partial(
                    measured.refined, image, row, settings, measured.plain(image, row)[:1]
                )
                times.append(timed(run, 'cpu')[0])
    seconds = {fine: np.median(times) for fine, times in encoding.items()}
    return [
        (seconds[row[0]] + (np.median(times) if times else 0)) / seconds[False]
        for (row, _), times in zip(choices, refining, strict=True)
    ]


def curve(measured, image, choices):
    """Clicks, and IoU summed over them at each threshold (T, ), for each (row, settings)."""
    ious = [
        image.ious(measured.maps(image, *each), torch.tensor(THRESHOLDS)).sum(0).tolist()
        for each in choices
    ]
    return len(image.owner), ious


def score(measured, image, choices):
    """Clicks, and IoU and boundary F summed over them, for each (row, settings, threshold)."""
    found = []
    for row, settings, threshold in choices:
        full = measured.maps(image, row, settings)
        iou = image.ious(full, torch.tensor([threshold])).sum().item()
        masks = ((full > threshold) & ~image.ignore).numpy()
        f = sum(
            boundary_accuracy(image.masks[owner].numpy(), mask)
            for mask, owner in zip(masks, image.owner, strict=True)
        )
        found.append((iou, float(f)))
    return len(image.owner), found


def mean_over(images, choices, measured, what, journal):
    """The mean over clicks of what a function of (measured, image, choices) sums up."""
    digest = weights_digest(measured.model.backbone)
    total, clicks = 0, 0
    for image in images:
        key = [digest, what.__name__, image.number, choices]
        number, summed = journal.get(key, partial(what, measured, image, choices))
        total, clicks = total + np.array(summed), clicks + number
    return total / clicks


def best_of(values, tried, how):
    """Which of the (row, settings) with a refinement has the highest value."""
    return max((i for i, (row, _) in enumerate(tried) if row[2] == how), key=lambda i: values[i])


def main(argv=None):
    with halves(__doc__, argv) as (args, even, odd):
        tried = [((False, None, how), each) for how, all_of in SETTINGS.items() for each in all_of]
        journal = Journal(
            args.out and args.out.with_suffix('.jsonl'),
            dict(config=args.config, size=args.size, repeats=args.repeats,
                 images=[[each.number for each in half] for half in (even, odd)]),
        )  # fmt: skip
        networks_found, searches = [], []
        print('| network | | mIoU | boundary F | at | cost |\n' + '|---' * 6 + '|', flush=True)
        for name, model in networks(args):
            measured = Measured(model)
            search = mean_over(even, tried, measured, curve, journal).max(1).tolist()
            searches.append(search)
            best = {how: best_of(search, tried, how) for how in SETTINGS}
            settings = {how: tried[i][1] for how, i in best.items()} | {None: None}
            choices = [(row, settings[row[2]]) for row in ROWS]
            at = [
                THRESHOLDS[i] for i in mean_over(even, choices, measured, curve, journal).argmax(1)
            ]
            scores = mean_over(
                odd, [(*each, t) for each, t in zip(choices, at, strict=True)], measured, score,
                journal,
            )  # fmt: skip
            rows = []
            for row, t, (iou, f), cost in zip(
                ROWS, at, scores, costs(measured, odd[:TIMED], choices, args.device), strict=True
            ):
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
