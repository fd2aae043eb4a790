"""Time of one whole MMC training step over the least that any such step must do.

- ``step``: ``model.train_step`` as mmengine's runner calls it, from a collated uint8 batch:
  normalisation, corruption, student, teacher, heads, losses, backward, clipping, AdamW; then the
  teacher's update. Model and optimiser are those of ``configs/``.
- ``floor``: forward and backward of a timm ViT of the same size (the student, with the same
  drop-path rate of 0.1) and of the three heads on both of its views, reconstruction on patches with
  a corrupted pixel alone; forward of a second one and of its two heads (the teacher). It starts
  from normalised images and its loss is the sum of the heads' outputs. No corruption, no losses,
  no clipping, no optimiser, no moving average.

Both run in turn, again and again, on the same batch and in the same precision; each turn gives one
ratio, and the median is reported (``timing.py``). On a CPU one thread is used unless told
otherwise.

Example:
    python tools/benchmarks/train_step.py --arch vits --batch 8 --device cpu
    python tools/benchmarks/train_step.py --arch vitb --batch 48 --device cuda --compile
"""

import argparse
import json
import platform
from pathlib import Path

import numpy as np
import timm
import torch
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope
from mmpretrain.registry import MODELS
from timing import in_turns, ratio
from torch import nn

from mmc_plugin.datasets.transforms.gmml import sample_block_mask
from mmc_plugin.models.heads import PixelReconstructionHead, ProjectionMLP

CONFIGS = Path(__file__).parents[2] / 'configs' / '_base_'
TIMM = dict(vits='vit_small_patch16_224', vitb='vit_base_patch16_224')
CONFIG = dict(vits='mmc_vits16.py', vitb='mmc_vitb16.py')
SIZE, PATCH = 224, 16
MOMENTUM = 0.996


def parse_args():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--arch', choices=list(TIMM), default='vits', help='size of the ViT')
    parser.add_argument('--batch', type=int, default=8, help='images; each has two views')
    parser.add_argument(
        '--device',
        default='cuda' if torch.cuda.is_available() else 'cpu',
        help='cpu or cuda; by default cuda if there is one',
    )
    parser.add_argument(
        '--dtype', choices=['bf16', 'fp32'], default='bf16', help='precision of the step'
    )
    parser.add_argument('--compile', action='store_true', help='torch.compile both sides')
    parser.add_argument('--repeats', type=int, default=10, help='turns that enter the median')
    parser.add_argument('--warmup', type=int, default=2, help='turns before them')
    parser.add_argument('--threads', type=int, default=1, help='threads on a CPU')
    parser.add_argument('--out', type=Path, help='JSON file for the results')
    args = parser.parse_args()
    if args.batch < 2:
        parser.error('--batch must be at least 2: batch norm and negatives need another image')
    return args


def quiet():
    """Keep the hosts from printing every parameter."""
    init_default_scope('mmpretrain')
    MMLogger.get_instance('benchmark', log_level='ERROR')


def build_model(arch, changes=None):
    """The MMC model of the configs, in training mode; ``changes`` are merged into its config."""
    cfg = Config.fromfile(CONFIGS / 'models' / CONFIG[arch])
    cfg.merge_from_dict(dict(model=changes or {}))
    return MODELS.build(cfg.model).train()


def build_optimiser(model, dtype):
    """The optimiser of the configs in bf16 or fp32."""
    cfg = Config.fromfile(CONFIGS / 'schedules' / 'mmc_adamw.py').optim_wrapper
    cfg.precision = dtype
    return build_optim_wrapper(model, cfg)


def make_batch(images, device):
    """A collated batch with masks of the default sampler, half of them filled with others."""
    rng = np.random.default_rng(0)
    generator = torch.Generator().manual_seed(0)
    shape = (images, 3, SIZE, SIZE)
    alien = np.arange(images)[:, None] % 2 == np.arange(2)  # (B, V)
    mask = np.stack(
        [sample_block_mask(SIZE, SIZE, 0.3 if a else 0.75, PATCH, rng=rng) for a in alien.flat]
    )
    inputs = dict(
        views=[torch.randint(256, shape, dtype=torch.uint8, generator=generator) for _ in '12'],
        mask=torch.from_numpy(mask).view(images, 2, SIZE, SIZE),
        alien=torch.from_numpy(alien),
    )
    return dict(inputs=_to(inputs, device))


def _to(data, device):
    if isinstance(data, dict):
        return {key: _to(value, device) for key, value in data.items()}
    return [_to(value, device) for value in data] if isinstance(data, list) else data.to(device)


class Floor(nn.Module):
    """Student and teacher as bare timm ViTs, with the heads of the model of the same size."""

    def __init__(self, arch):
        super().__init__()
        name = TIMM[arch]
        self.student = timm.create_model(name, num_classes=0, drop_path_rate=0.1)
        self.teacher = timm.create_model(name, num_classes=0).requires_grad_(False)
        width = self.student.embed_dim
        self.rec_head = PixelReconstructionHead(width, PATCH)
        self.patch_head, self.cls_head = ProjectionMLP(width), ProjectionMLP(width)
        self.teacher_patch_head = ProjectionMLP(width).requires_grad_(False)
        self.teacher_cls_head = ProjectionMLP(width).requires_grad_(False)

    def forward(self, images, touched):
        """Sum of the outputs of the student's heads on images (2B, 3, H, W)."""
        with torch.no_grad():
            tokens = self.teacher.forward_features(images)  # (2B, 1 + N, D)
            self.teacher_cls_head(tokens[:, 0])
            self.teacher_patch_head(tokens[:, 1:])
        tokens = self.student.forward_features(images)
        cls, patch = tokens[:, 0], tokens[:, 1:]
        outputs = (
            self.cls_head(cls),
            self.patch_head(patch),
            self.rec_head(patch.flatten(0, 1)[touched]),
        )
        return sum(output.float().sum() for output in outputs)


def whole_step(model, optimiser, batch):
    """One training step and the teacher's update, as a function."""

    def run():
        model.train_step(batch, optimiser)
        model.update_teacher(MOMENTUM)

    return run


def floor_step(floor, images, touched, dtype):
    """Forward and backward of the floor, as a function."""

    def run():
        floor.zero_grad(set_to_none=True)
        with torch.autocast(images.device.type, torch.bfloat16, enabled=dtype == 'bf16'):
            loss = floor(images, touched)
        loss.backward()

    return run


def main():
    args = parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    quiet()
    on_gpu = torch.device(args.device).type == 'cuda'
    if on_gpu:
        torch.cuda.set_device(args.device)

    batch = make_batch(args.batch, args.device)
    model = build_model(args.arch)
    model.init_weights()
    model.to(args.device)
    floor = Floor(args.arch).to(args.device).train()
    inputs = model.data_preprocessor(batch)['inputs']
    images = inputs['views'].flatten(0, 1)  # (2B, 3, H, W)
    if args.compile:
        model.train_step = torch.compile(model.train_step)  # what the runner's `compile` does
        floor.forward = torch.compile(floor.forward)
    runs = (
        whole_step(model, build_optimiser(model, args.dtype), batch),
        floor_step(floor, images, inputs['touched'], args.dtype),
    )
    step, least = in_turns(runs, args.repeats, args.warmup, args.device).T
    spread = ratio(step, least)
    results = dict(
        arch=args.arch,
        batch=args.batch,
        device=torch.cuda.get_device_name(args.device) if on_gpu else platform.machine(),
        dtype=args.dtype,
        compile=args.compile,
        threads=None if on_gpu else args.threads,
        torch=torch.__version__,
        ratio=spread.median,
        ratio_min=spread.low,
        ratio_max=spread.high,
        step_seconds=step.tolist(),
        floor_seconds=least.tolist(),
    )
    print(
        f'{args.arch}, {args.batch} images, {results["device"]}, {args.dtype}, '
        f'{"" if args.compile else "not "}compiled: step / floor = {spread} '
        f'over {args.repeats} turns'
    )
    if args.out is not None:
        args.out.write_text(json.dumps(results, indent=2) + '\n')


if __name__ == '__main__':
    main()
