"""What running the student's blocks twice saves in memory, and what it costs in time.

Peak memory of a whole training step of MMC before and after, as ``memory.py`` counts it: on a CPU
without content, so that 48 images need neither time nor memory. Then the time of a step of
``--images-timed`` images with real content over that of one without, in turns (``timing.py``).

Example:
    python tools/benchmarks/activation_checkpointing.py --arch vitb --batch 48
"""

import argparse
from functools import partial

import torch
from memory import MIB, peak_bytes, training, without_weights
from timing import in_turns, ratio
from train_step import TIMM, build_model, build_optimiser, make_batch, quiet

from mmc_plugin.models.utils.recomputing import recompute_blocks


def parse_args():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--arch', choices=list(TIMM), default='vitb', help='size of the ViT')
    parser.add_argument('--batch', type=int, default=48, help='images of the step for the memory')
    parser.add_argument('--images-timed', type=int, default=4, help='images of the step in time')
    parser.add_argument(
        '--device',
        default='cuda' if torch.cuda.is_available() else 'cpu',
        help='cpu or cuda; by default cuda if there is one',
    )
    parser.add_argument(
        '--dtype', choices=['bf16', 'fp32'], default='bf16', help='precision of the step'
    )
    parser.add_argument('--repeats', type=int, default=5, help='turns that count')
    return parser.parse_args()


def timed_step(args, recomputed):
    """A training step as a function."""
    model = build_model(args.arch)
    model.init_weights()
    model.to(args.device)
    if recomputed:
        recompute_blocks(model)
    batch = make_batch(args.images_timed, args.device)
    return partial(model.train_step, batch, build_optimiser(model, args.dtype))


def main():
    args = parse_args()
    torch.set_num_threads(1)
    quiet()
    # Before the count, which settles how many patches there are.
    steps = [timed_step(args, recomputed) for recomputed in (False, True)]
    times = in_turns(steps, args.repeats, warmup=1, device=args.device).T
    print(f'time of a step of {args.images_timed} images: {ratio(times[1], times[0])}')
    peaks = []
    for recomputed in (False, True):
        model = without_weights(args.arch, 'with')
        if recomputed:
            recompute_blocks(model)
        step = partial(training, model, args.batch, args.dtype, args.device)
        peaks.append(peak_bytes(step, args.device)[0])
    plain, low = peaks
    print(
        f'{args.arch}, {args.batch} images, {args.dtype}: peak {plain / MIB:.0f} MiB, '
        f'checkpointed {low / MIB:.0f} MiB ({low / plain:.3f})'
    )


if __name__ == '__main__':
    main()
