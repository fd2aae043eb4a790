"""Peak memory of the patch loss: in a training step, and by itself over the batch size.

- ``step``: most bytes held during a training step (``model.train_step``, see ``train_step.py``),
  with weights, gradients and optimiser state. ``with`` L_patch, ``without`` (its weight is 0, so
  there is no patch head either), and ``head only``: the patch head is there, but the loss only sums
  what it puts out. ``with`` over ``head only`` is the cost of the loss, ``with`` over ``without``
  that of the loss and its head.
- ``loss``: most bytes that forward and backward of ``info_nce`` hold beside their inputs, for B
  images of N = 196 patches and width 256, with gradients of the queries.

On a GPU both run, and the allocator counts. On a CPU no arithmetic is done: each operation runs on
tensors that have shapes but no content, and a tracker counts the bytes of all storages alive, so
that 48 images need neither time nor memory. Clipping, which looks at values, is left out there; it
works in place. ``--check`` compares this count in a small case with that of the real allocator.

Example:
    python tools/benchmarks/memory.py
    python tools/benchmarks/memory.py --check
"""

import argparse
import json
import tempfile
import weakref
from functools import partial
from pathlib import Path

import torch
from mmpretrain.registry import MODELS
from torch._subclasses import FakeTensorMode
from torch._subclasses.fake_tensor import unset_fake_temporarily
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from train_step import PATCH, TIMM, build_model, build_optimiser, make_batch, quiet

from mmc_plugin.models.heads import PatchContrastHead
from mmc_plugin.models.losses import info_nce
from mmc_plugin.models.utils import touched_patches, view_preprocessor

PATCHES, WIDTH = 196, 256
BATCHES = (8, 16, 32, 64, 128, 256, 512)
MIB = 2**20


def parse_args():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--arch', choices=list(TIMM), default='vits', help='size of the ViT')
    parser.add_argument('--batch', type=int, default=48, help='images of the step')
    parser.add_argument(
        '--device',
        default='cuda' if torch.cuda.is_available() else 'cpu',
        help='cpu or cuda; by default cuda if there is one',
    )
    parser.add_argument(
        '--dtype', choices=['bf16', 'fp32'], default='bf16', help='precision of the step'
    )
    parser.add_argument('--check', action='store_true', help='compare the counts on a CPU')
    parser.add_argument('--out', type=Path, help='JSON file for the results')
    return parser.parse_args()


@MODELS.register_module()
class SummedPatchHead(PatchContrastHead):
    """The patch head without its loss."""

    def loss(self, queries, keys, masked):
        """Sum of the queries."""
        return queries.sum()


VARIANTS = {
    'with': {},
    'head only': dict(patch_head=dict(type='SummedPatchHead')),
    'without': dict(loss_weights=dict(patch=0.0)),
}


class LiveBytes(TorchDispatchMode):
    """Counts the bytes of all storages that operations have made and that are still alive."""

    def __init__(self):
        super().__init__()
        self.held = self.peak = 0
        self._known = weakref.WeakSet()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(out):
            if isinstance(tensor, torch.Tensor):
                self._add(tensor.untyped_storage())
        return out

    def _add(self, storage):
        if storage in self._known:
            return
        self._known.add(storage)
        size = storage.nbytes()
        weakref.finalize(storage, self._remove, size)
        self.held += size
        self.peak = max(self.peak, self.held)

    def _remove(self, size):
        self.held -= size


def without_weights(arch, variant):
    """A model whose parameters have no memory yet."""
    with torch.device('meta'):
        return build_model(arch, VARIANTS[variant])


def training(model, batch_size, dtype, device):
    """A training step as a function; it has run once, so the optimiser has its state."""
    batch = make_batch(batch_size, device)
    with unset_fake_temporarily():  # without content nobody knows how many patches are touched
        mask = make_batch(batch_size, 'cpu')['inputs']['mask']
        touched = len(touched_patches(mask.transpose(0, 1), PATCH))
    view_preprocessor.touched_patches = lambda mask, patch_size: torch.arange(touched)
    model.to_empty(device=device)  # what the weights hold does not matter here
    model.data_preprocessor.to(device)  # it notes where to move batches
    optimiser = build_optimiser(model, dtype)
    if torch.device(device).type == 'cpu':
        optimiser.clip_grad_kwargs = None

    def run():
        model.train_step(batch, optimiser)

    run()
    return run


def contrast(batch_size, device):
    """Forward and backward of the patch loss as a function; queries are the student's."""
    queries, keys = torch.randn(2, batch_size * PATCHES, WIDTH, device=device).unbind()
    queries, keys = (F.normalize(x, dim=1) for x in (queries, keys))
    queries.requires_grad_()
    images = torch.arange(batch_size, device=device).repeat_interleave(PATCHES)

    def run():
        queries.grad = None
        info_nce(queries, keys, keys, images, images).backward()

    return run


def peak_bytes(prepare, device):
    """Most bytes held while ``prepare()``'s result runs, and those held before.

    Args:
        prepare (Callable): Makes tensors on ``device`` and returns what is to be measured.
        device (str): ``'cuda…'``: counted by the allocator; ``'cpu'``: without content.
    """
    if torch.device(device).type == 'cuda':
        return gpu_peak_bytes(prepare(), device)
    with FakeTensorMode(allow_non_fake_inputs=True):
        return tracked(prepare)


def gpu_peak_bytes(run, device):
    """Most bytes that a GPU's allocator holds while ``run`` runs, and those held before."""
    torch.cuda.synchronize(device)
    before = torch.cuda.memory_allocated(device)
    torch.cuda.reset_peak_memory_stats(device)
    run()
    torch.cuda.synchronize(device)
    return torch.cuda.max_memory_allocated(device), before


def tracked(prepare):
    """:func:`peak_bytes` by the tracker."""
    with LiveBytes() as live:
        run = prepare()
        before = live.peak = live.held
        run()
    return live.peak, before


def profiled(prepare):
    """Most bytes that the CPU allocator hands out beside those held before, from its events."""
    run = prepare()
    activities = [torch.profiler.ProfilerActivity.CPU]
    with torch.profiler.profile(activities=activities, profile_memory=True) as profile:
        run()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / 'trace.json'
        profile.export_chrome_trace(str(path))
        events = json.loads(path.read_text())['traceEvents']
    held = peak = 0
    for event in sorted((e for e in events if e['name'] == '[memory]'), key=lambda e: e['ts']):
        held += event['args']['Bytes']
        peak = max(peak, held)
    return peak


def check():
    """Print the three counts of a small case: without content, tracked and of the allocator."""
    cases = {
        'info_nce, 8 images': lambda model: contrast(8, 'cpu'),
        'training step, 4 images': lambda model: training(model, 4, 'bf16', 'cpu'),
    }
    print('MiB beside what was held before: without content, on real tensors, of the allocator')
    for name, case in cases.items():
        # A new model for each count, made before tensors lose their content.
        prepare = [partial(case, without_weights('vits', 'with')) for _ in range(3)]
        peaks = [peak_bytes(prepare[0], 'cpu'), tracked(prepare[1])]
        counts = [peak - before for peak, before in peaks] + [profiled(prepare[2])]
        print(f'{name}: ' + ', '.join(f'{count / MIB:.2f}' for count in counts))


def main():
    args = parse_args()
    torch.set_num_threads(1)
    quiet()
    if args.check:
        check()
        return

    steps = {}
    for variant in VARIANTS:
        model = without_weights(args.arch, variant)
        step = partial(training, model, args.batch, args.dtype, args.device)
        steps[variant], _ = peak_bytes(step, args.device)
    print(f'{args.arch}, {args.batch} images, {args.dtype}: peak of a training step')
    print('| L_patch | MiB | with / this |')
    print('|---|---|---|')
    for variant, peak in steps.items():
        print(f'| {variant} | {peak / MIB:.0f} | {steps["with"] / peak:.3f} |')

    losses = {}
    print('\n| B | MiB | MiB / B | MiB of all logits |')
    print('|---|---|---|---|')
    for images in BATCHES:
        peak, before = peak_bytes(partial(contrast, images, args.device), args.device)
        losses[images] = peak - before
        print(
            f'| {images} | {losses[images] / MIB:.1f} | {losses[images] / images / MIB:.2f} | '
            f'{4 * (images * PATCHES) ** 2 / MIB:.0f} |'
        )
    if args.out is not None:
        results = dict(
            arch=args.arch, batch=args.batch, device=args.device, dtype=args.dtype,
            torch=torch.__version__, step_bytes=steps, loss_bytes=losses,
        )  # fmt: skip
        args.out.write_text(json.dumps(results, indent=2) + '\n')


if __name__ == '__main__':
    main()
