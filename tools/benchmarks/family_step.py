"""Time of one training step of each method over that of a bare vision transformer.

- ``step``: ``model.train_step`` as mmengine's runner calls it, from a collated uint8 batch of two
  views of 224² without local crops, and the teacher's update. Networks and heads are those of
  ``configs/METHOD/``; ViT-S/16.
- ``bare``: forward and backward of a timm ViT of that size on both views, and forward of a second
  one, from normalised images. No heads, no losses, no optimiser.

All run in turn, again and again, in one precision; each turn gives one ratio, and the median is
reported (``timing.py``). On a CPU one thread is used unless told otherwise.

Example: ``python tools/benchmarks/family_step.py --batch 8 --device cpu --dtype fp32``
"""

import argparse
import json
from pathlib import Path

import timm
import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmpretrain.registry import MODELS
from timing import in_turns, ratio
from train_step import MOMENTUM, PATCH, SIZE, TIMM, make_batch, quiet

CONFIGS = Path(__file__).parents[2] / 'configs'
ROWS = dict(
    mmc='mmc/vits_in100_500e.py',
    mmc_masked_queries='mmc/vits_in100_500e.py',
    sit='sit/vits_in1k_800e.py',
    dino='dino/vits_in1k_300e.py',
    ibot='ibot/vits_in1k_800e.py',
    mcssl='mcssl/vits_in1k_800e.py',
    msn='msn/vits_in1k_800e.py',
    maskco='maskco/vits_coco.py',
)


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        'rows', nargs='*', default=list(ROWS), metavar='METHOD', help='by default all'
    )
    parser.add_argument('--batch', type=int, default=8, help='images; each has two views')
    parser.add_argument(
        '--device',
        default='cuda' if torch.cuda.is_available() else 'cpu',
        help='cpu or cuda; by default cuda if there is one',
    )
    parser.add_argument(
        '--dtype', choices=['bf16', 'fp32'], default='fp32', help='precision of the step'
    )
    parser.add_argument('--repeats', type=int, default=7, help='turns that enter the median')
    parser.add_argument('--warmup', type=int, default=1, help='turns before them')
    parser.add_argument('--threads', type=int, default=1, help='threads on a CPU')
    parser.add_argument('--out', type=Path, help='JSON file for the results')
    return parser.parse_args()


def build_step(row, batch, device, dtype):
    """A call that does one step of a row."""
    cfg = Config.fromfile(CONFIGS / ROWS[row])
    if row == 'mmc_masked_queries':
        cfg.model.patch_head.queries = 'masked'
    model = MODELS.build(cfg.model).to(device).train()
    cfg.optim_wrapper.precision = dtype
    optimiser = build_optim_wrapper(model, cfg.optim_wrapper)

    def step():
        model.train_step(batch, optimiser)
        model.update_teacher(MOMENTUM)

    return step


def build_bare(images, device, dtype):
    """A call that does forward and backward of a student and forward of a teacher."""
    nets = [timm.create_model(TIMM['vits'], num_classes=0, drop_path_rate=rate).to(device).train()
            for rate in (0.1, 0.0)]  # fmt: skip
    views = torch.randn(2 * images, 3, SIZE, SIZE, device=device)

    def bare():
        nets[0].zero_grad(set_to_none=True)
        with torch.autocast(device, torch.bfloat16, enabled=dtype == 'bf16'):
            with torch.no_grad():
                nets[1].forward_features(views)
            loss = nets[0].forward_features(views).float().sum()
        loss.backward()

    return bare


def main():
    args = parse_args()
    torch.set_num_threads(args.threads)
    quiet()
    torch.manual_seed(0)
    batch = make_batch(args.batch, args.device)
    inputs, left = batch['inputs'], 166  # of 196 patches: MSN
    inputs['keep'] = torch.randperm((SIZE // PATCH) ** 2)[:left].expand(args.batch, 2, -1)
    box = torch.tensor([32.0, 32, 128, 128])  # MaskCo
    inputs['regions'] = box.expand(args.batch, 2, 4, -1) + 8 * torch.arange(4)[:, None]
    for key in ('keep', 'regions'):
        inputs[key] = inputs[key].to(args.device)
    steps = [build_step(row, batch, args.device, args.dtype) for row in args.rows]
    bare = build_bare(args.batch, args.device, args.dtype)
    times = in_turns([bare, *steps], args.repeats, args.warmup, args.device)
    results = dict(vars(args), out=None, ratios={})
    for column, row in enumerate(args.rows, start=1):
        found = ratio(times[:, column], times[:, 0])
        results['ratios'][row] = found
        print(f'{row}: {found} x a bare vision transformer')
    if args.out:
        args.out.write_text(json.dumps(results, indent=1, default=str))


if __name__ == '__main__':
    main()
