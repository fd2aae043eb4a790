"""Time of one training step of each method over a bare vision transformer and over its floor.

- ``step``: ``model.train_step`` as mmengine's runner calls it, from a collated uint8 batch of two
  views of 224² (MAE: one) without local crops, and the teacher's update. Networks and heads are
  those of ``configs/METHOD/``; ViT-S/16.
- ``bare``: forward and backward of a timm ViT of that size on both views, and forward of a second
  one, from normalised images. No heads, no losses, no optimiser.
- ``floor``: the least that a step of the method must do. Forward and backward of a timm ViT on as
  many images and tokens as the student's, forward of one on the teacher's if there is one, and the
  products, activations and norms of the heads and prototypes, with inputs of the same shapes.

All run in turn, again and again, in one precision; each turn gives one ratio, and the median is
reported (``timing.py``). On a CPU one thread is used unless told otherwise.

Example: ``python tools/benchmarks/family_step.py --batch 8 --device cpu --dtype fp32``
"""

import argparse
import json
from functools import partial
from pathlib import Path

import timm
import torch
import torch.nn.functional as F
from mmengine.config import Config
from mmengine.logging import MessageHub
from mmengine.optim import build_optim_wrapper
from mmpretrain.registry import MODELS
from timing import in_turns, ratio
from torch.overrides import TorchFunctionMode
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
    mocov3='mocov3/vits_in1k_300e.py',
    mae='mae/vits_in1k_800e.py',
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
    """A method, its drop-path rate, and a call that does one step of a row."""
    cfg = Config.fromfile(CONFIGS / ROWS[row])
    if row == 'mmc_masked_queries':
        cfg.model.patch_head.queries = 'masked'
    model = MODELS.build(cfg.model).to(device).train()
    cfg.optim_wrapper.precision = dtype
    optimiser = build_optim_wrapper(model, cfg.optim_wrapper)

    def step():
        model.train_step(batch, optimiser)
        model.update_teacher(MOMENTUM)

    return model, cfg.model.backbone.get('drop_path_rate', 0.0), step


class Heads(TorchFunctionMode):
    """Notes what a method computes of weights outside of its backbones."""

    KINDS = (F.linear, F.gelu, F.relu, F.batch_norm, F.layer_norm, F.scaled_dot_product_attention)

    def __init__(self, backbones):
        super().__init__()
        self.calls, self.inside = [], False
        for backbone in backbones:
            backbone.register_forward_pre_hook(lambda *_: setattr(self, 'inside', True))
            backbone.register_forward_hook(lambda *_: setattr(self, 'inside', False))

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        out = function(*args, **kwargs)
        if function in self.KINDS and not self.inside:
            if function is F.relu:  # in place only where the input is no leaf
                args, kwargs = args[:1], {}
            again = partial(function, *map(leaf, args), **{k: leaf(v) for k, v in kwargs.items()})
            self.calls.append((again, torch.randn_like(out) if out.requires_grad else None))
        return out


def leaf(value):
    """A tensor of the same content with a gradient of its own; anything else as it is."""
    if not isinstance(value, torch.Tensor):
        return value
    return value.detach().clone().requires_grad_(value.requires_grad)


def build_floor(model, drop_path, batch, device, dtype):
    """A call that does what a step of a method must, see above."""
    backbones = {name: model.network(name) for name in ('teacher', 'student')}
    if backbones['teacher'] is backbones['student']:
        del backbones['teacher']
    seen, handles = [], []
    for name, backbone in backbones.items():
        note = partial(lambda name, _, args: seen.append([name, torch.randn_like(args[0])]), name)
        handles += [
            backbone.register_forward_pre_hook(note),
            backbone.ln1.register_forward_hook(lambda _, args, out: seen[-1].append(out.shape[1])),
        ]
    heads = Heads(backbones.values())
    inputs = model.data_preprocessor(batch, training=True)['inputs']
    with torch.autocast(device, torch.bfloat16, enabled=dtype == 'bf16'), heads:
        model.loss(inputs)
    for handle in handles:
        handle.remove()
    nets = dict(zip(('student', 'teacher'), make_nets(device, drop_path), strict=True))
    learns = any(weight.requires_grad for weight in model.backbone.patch_embed.parameters())
    nets['student'].patch_embed.requires_grad_(learns)

    def floor():
        leaves = [
            each for again, _ in heads.calls for each in (*again.args, *again.keywords.values())
        ]
        for each in (*nets['student'].parameters(), *leaves):
            if isinstance(each, torch.Tensor):
                each.grad = None
        results, gradients = [], []
        with torch.autocast(device, torch.bfloat16, enabled=dtype == 'bf16'):
            for name, images, number in seen:
                with torch.set_grad_enabled(name == 'student'):
                    tokens = forward(nets[name], images, number)
                if name == 'student':
                    results.append(tokens.float().sum())
                    gradients.append(None)
            for again, gradient in heads.calls:
                with torch.set_grad_enabled(gradient is not None):
                    out = again()
                if gradient is not None:
                    results.append(out)
                    gradients.append(gradient)
        torch.autograd.backward(results, gradients)

    return floor


def forward(net, images, number):
    """The first tokens (B, number, D) of a timm ViT, normed."""
    tokens = net.pos_drop(net._pos_embed(net.patch_embed(images)))[:, :number]
    return net.norm(net.blocks(tokens))


def make_nets(device, drop_path=0.1):
    """A student and a teacher of timm."""
    return [timm.create_model(TIMM['vits'], num_classes=0, drop_path_rate=rate).to(device).train()
            for rate in (drop_path, 0.0)]  # fmt: skip


def build_bare(images, device, dtype):
    """A call that does forward and backward of a student and forward of a teacher."""
    nets = make_nets(device)
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
    MessageHub.get_current_instance().update_info('max_iters', 1000)  # MoCo v3 asks for it
    torch.manual_seed(0)
    batch = make_batch(args.batch, args.device)
    inputs, left = batch['inputs'], 166  # of 196 patches: MSN
    inputs['keep'] = torch.randperm((SIZE // PATCH) ** 2)[:left].expand(args.batch, 2, -1)
    box = torch.tensor([32.0, 32, 128, 128])  # MaskCo
    inputs['regions'] = box.expand(args.batch, 2, 4, -1) + 8 * torch.arange(4)[:, None]
    for key in ('keep', 'regions'):
        inputs[key] = inputs[key].to(args.device)
    bare = build_bare(args.batch, args.device, args.dtype)
    results = dict(vars(args), out=None, bare={}, floor={})
    for row in args.rows:
        given = dict(inputs=inputs | dict(views=inputs['views'][:1])) if row == 'mae' else batch
        model, drop_path, step = build_step(row, given, args.device, args.dtype)
        floor = build_floor(model, drop_path, given, args.device, args.dtype)
        times = in_turns([step, bare, floor], args.repeats, args.warmup, args.device).T
        for column, name in enumerate(('bare', 'floor'), start=1):
            results[name][row] = ratio(times[0], times[column])
        print(f'{row}: {results["bare"][row]} x a bare vision transformer, '
              f'{results["floor"][row]} x its floor', flush=True)  # fmt: skip
    if args.out:
        args.out.write_text(json.dumps(results, indent=1, default=str))


if __name__ == '__main__':
    main()
