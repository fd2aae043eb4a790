"""Which threshold makes a click an object for any network: the table behind AUTO_THRESHOLD.

For each network the mIoU of fixed thresholds and of Otsu's, on cosines of tokens as they are and of
tokens less their mean over the image. What is chosen is chosen on the images with even ids; the
table is of those with odd ones.

Example:
    COCO_ROOT=/path/to/coco python tools/benchmarks/click_thresholds.py MMC=checkpoint.pth random \\
        --repeats 5 --out thresholds.json
"""

import numpy as np
import torch
from clicks import halves, networks

from mmc_plugin.apis.prompt_segmenter import AUTO_THRESHOLD
from mmc_plugin.evaluation.functional.prompt_masks import otsu_threshold
from mmc_plugin.evaluation.report import write_report

FIXED = [round(0.05 * i, 2) for i in range(1, 20)]
KINDS = ('raw', 'centred')


def measure(model, images):
    """mIoU at each of FIXED and, last, of Otsu's threshold, for both kinds."""
    found = {kind: [] for kind in KINDS}
    for image in images:
        tokens = image.tokens(model)
        for kind in KINDS:
            full = image.frame(model).upsample(image.maps(model, tokens, kind == 'centred')).cpu()
            fixed = image.ious(full, torch.tensor(FIXED))
            # Above 0 is above Otsu's, which is another for each map.
            moved = full - otsu_threshold(full)[:, None, None]
            found[kind].append(torch.cat([fixed, image.ious(moved, torch.zeros(1))], 1))
    return {kind: torch.cat(each).mean(0).numpy() for kind, each in found.items()}


def main(argv=None):
    with halves(__doc__, argv) as (args, even, odd):
        auto = FIXED.index(AUTO_THRESHOLD)
        rows, chosen = [], []
        print(
            f'| network | raw .3 | raw, best | at | raw Otsu | centred Otsu | centred '
            f'{AUTO_THRESHOLD:g} | centred, best | at |\n' + '|---' * 9 + '|', flush=True,
        )  # fmt: skip
        for name, model in networks(args):
            choice, report = measure(model, even), measure(model, odd)
            best = {kind: int(choice[kind][:-1].argmax()) for kind in KINDS}
            rows.append(dict(name=name, even=choice, odd=report))
            chosen.append(choice['centred'][:-1])
            raw, centred = (100 * report[kind] for kind in KINDS)
            print(
                f'| {name} | {raw[FIXED.index(0.3)]:.1f} | {raw[best["raw"]]:.1f} | '
                f'{FIXED[best["raw"]]:g} | {raw[-1]:.1f} | {centred[-1]:.1f} | '
                f'{centred[auto]:.1f} | {centred[best["centred"]]:.1f} | '
                f'{FIXED[best["centred"]]:g} |', flush=True,
            )  # fmt: skip
        mean = np.mean(chosen, 0)
        print(f'best centred threshold in the mean over the networks, even ids: '
              f'{FIXED[int(mean.argmax())]:g}')  # fmt: skip
    if args.out is not None:
        write_report(
            str(args.out), 'mIoU of one click on images with even and with odd ids, at fixed '
            'thresholds and, last, at that of Otsu.', args.config, ' '.join(args.network),
            dict(thresholds=FIXED, networks=rows, images=[len(even), len(odd)]),
        )  # fmt: skip


if __name__ == '__main__':
    main()
