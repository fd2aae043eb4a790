"""Time and memory of a training iteration of frozen linear segmentation over the least it must be.

- ``step``: ``model.train_step`` as mmengine's runner calls it, from a batch of uint8 images:
  normalisation, frozen backbone, head, loss, backward, AdamW. The model and the optimiser are those
  of a config.
- ``floor``: the backbone under ``no_grad`` on normalised images, batch norm, 1×1 convolution,
  upsampling to the labels, cross-entropy and backward, in plain torch. No optimiser.

Both run in turn, again and again, on the same batch; each turn gives one ratio, and the median is
reported (``timing.py``). On a CPU one thread is used unless told otherwise.

Memory is the most that is held at a time, weights and optimiser state included: of the step; of the
backbone's inference on the batch; and, beside what was there before, of the head's forward and
backward on given features. The ratio is the first over the sum of the others.

Example:
    python tools/benchmarks/linear_segmentation.py --batch 2
    python tools/benchmarks/linear_segmentation.py --batch 4 --device cuda --repeats 30 \\
        --config segmentation/vitb_ade20k_linear_40k.py
"""

import argparse
import json
import platform
from functools import partial
from pathlib import Path

import torch
from memory import LiveBytes, gpu_peak_bytes
from mmengine.config import ConfigDict
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from timing import in_turns, ratio
from torch.nn import functional as F
from train_step import quiet

from mmc_plugin.engine import cli

MIB = 2**20


def parse_args():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        '--config',
        default='segmentation/vits_ade20k_linear_40k.py',
        help='of a linear segmentation',
    )
    parser.add_argument('--batch', type=int, default=4, help='images')
    parser.add_argument('--size', type=int, default=512, help='height and width of the images')
    parser.add_argument(
        '--device',
        default='cuda' if torch.cuda.is_available() else 'cpu',
        help='cpu or cuda; by default cuda if there is one',
    )
    parser.add_argument('--repeats', type=int, default=7, help='turns that enter the median')
    parser.add_argument('--warmup', type=int, default=1, help='turns before them')
    parser.add_argument('--threads', type=int, default=1, help='on a CPU')
    parser.add_argument('--out', type=Path, help='JSON file for the results')
    return parser.parse_args()


def build(args):
    """The model with random weights and its optimiser."""
    cfg = cli.load_config(args.config, {'model.backbone.checkpoint': None})
    init_default_scope(cfg.default_scope)
    model = MODELS.build(cfg.model)
    model.init_weights()
    model.to(args.device).train()
    model.data_preprocessor.to(args.device)
    return model, build_optim_wrapper(model, ConfigDict(cfg.optim_wrapper))


def make_batch(args, classes):
    """Images and labels as the dataloader gives them."""
    size = (args.size, args.size)
    labels = torch.randint(0, classes, (args.batch, 1, *size))
    labels[torch.rand(labels.shape) < 0.1] = 255
    meta = dict(img_shape=size, ori_shape=size, pad_shape=size)
    return dict(
        inputs=list(torch.randint(0, 256, (args.batch, 3, *size), dtype=torch.uint8)),
        data_samples=[
            SegDataSample(gt_sem_seg=PixelData(data=label), metainfo=meta) for label in labels
        ],
    )


def head_step(head, layers, labels):
    """Forward and backward of the head in plain torch."""
    head.zero_grad(set_to_none=True)
    norm, conv = head.norm, head.conv_seg
    x = F.batch_norm(torch.cat(layers, 1), None, None, norm.weight, norm.bias, training=True)
    logits = F.interpolate(conv(x), size=labels.shape[1:], mode='bilinear')
    F.cross_entropy(logits, labels, ignore_index=255).backward()


def floor_step(model, images, labels):
    with torch.no_grad():
        layers = model.backbone(images)
    head_step(model.decode_head, layers, labels)


def infer(model, images):
    with torch.no_grad():
        return model.backbone(images)


def peak_bytes(prepare, device):
    """Most bytes held while ``prepare()``'s result runs a second time, and those held before it."""
    if torch.device(device).type == 'cuda':
        run = prepare()
        run()
        return gpu_peak_bytes(run, device)
    with LiveBytes() as live:
        run = prepare()
        run()
        before = live.peak = live.held
        run()
    return live.peak, before


def memory(args):
    """Bytes of the step, of the backbone's inference and of the head beside what it is given."""

    def whole():
        model, optimiser = build(args)
        batch = make_batch(args, model.num_classes)
        return partial(model.train_step, batch, optimiser)

    def inference():
        model = build(args)[0].backbone
        return partial(infer, torch.nn.ModuleDict(dict(backbone=model)), images())

    def head():
        model = build(args)[0]
        layers = infer(model, images())
        labels = torch.zeros(args.batch, args.size, args.size, dtype=torch.long)
        return partial(head_step, model.decode_head, layers, labels.to(args.device))

    def images():
        return torch.zeros(args.batch, 3, args.size, args.size, device=args.device)

    step, _ = peak_bytes(whole, args.device)
    backbone, _ = peak_bytes(inference, args.device)
    peak, before = peak_bytes(head, args.device)
    return dict(step=step, backbone=backbone, head=peak - before)


def main():
    args = parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    quiet()
    on_gpu = torch.device(args.device).type == 'cuda'
    if on_gpu:
        torch.cuda.set_device(args.device)

    model, optimiser = build(args)
    batch = make_batch(args, model.num_classes)
    data = model.data_preprocessor(batch, training=True)
    labels = torch.cat([sample.gt_sem_seg.data for sample in data['data_samples']])
    runs = (
        partial(model.train_step, batch, optimiser),
        partial(floor_step, model, data['inputs'], labels),
    )
    step, least = in_turns(runs, args.repeats, args.warmup, args.device).T
    spread = ratio(step, least)
    del model, optimiser, batch, data, labels, runs
    held = memory(args)
    share = held['step'] / (held['backbone'] + held['head'])

    device = torch.cuda.get_device_name(args.device) if on_gpu else platform.machine()
    print(f'{args.config}, {args.batch} images of {args.size}², {device}')
    print(f'time: step / floor = {spread} over {args.repeats} turns')
    sizes = ', '.join(f'{name} {size / MIB:.0f} MiB' for name, size in held.items())
    print(f'memory: {sizes}: step / (backbone + head) = {share:.3f}')
    if args.out is not None:
        results = dict(
            config=args.config, batch=args.batch, size=args.size, device=device,
            threads=None if on_gpu else args.threads, torch=torch.__version__,
            step_seconds=step.tolist(), floor_seconds=least.tolist(),
            ratio=spread.median, bytes=held, memory_ratio=share,
        )  # fmt: skip
        args.out.write_text(json.dumps(results, indent=2) + '\n')


if __name__ == '__main__':
    main()
