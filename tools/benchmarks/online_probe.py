"""What the online linear probe adds to a training step of MMC.

The probe's part of an iteration (labels, both layers forward and backward, its optimiser) over the
step of the model on the same images, in turns (``timing.py``).

Example:
    python tools/benchmarks/online_probe.py --batch 8 --classes 1000
"""

import argparse

import torch
from mmengine.structures import BaseDataElement
from timing import in_turns, ratio
from train_step import TIMM, build_model, build_optimiser, make_batch, quiet

from mmc_plugin.engine.hooks.online_probe import OnlineProbeHook


def parse_args():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--arch', choices=list(TIMM), default='vits', help='size of the ViT')
    parser.add_argument('--batch', type=int, default=8, help='images; each has two views')
    parser.add_argument('--classes', type=int, default=1000, help='classes of the probe')
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


def main():
    args = parse_args()
    torch.set_num_threads(1)
    quiet()
    model = build_model(args.arch)
    model.init_weights()
    model.to(args.device)
    batch, optimiser = make_batch(args.batch, args.device), build_optimiser(model, args.dtype)

    hook = OnlineProbeHook('unused')
    hook.attach(model, [f'class{i}' for i in range(args.classes)], '/data/', args.batch)
    paths = [f'/data/class{i % args.classes}/image.jpg' for i in range(args.batch)]
    samples = [BaseDataElement(metainfo=dict(img_path=path)) for path in paths]
    tokens = torch.randn(2 * args.batch, 197, model.backbone.embed_dims, device=args.device)

    def probe():
        hook._caught = tokens
        hook.after_train_iter(None, 0, dict(data_samples=samples))

    def step():
        hook._caught = tokens  # nothing is caught
        model.train_step(batch, optimiser)

    step_seconds, probe_seconds = in_turns([step, probe], args.repeats, 1, args.device).T
    print(
        f'{args.arch}, {args.batch} images, {args.classes} classes, {args.dtype}: '
        f'probe / step {ratio(probe_seconds, step_seconds)}'
    )


if __name__ == '__main__':
    main()
