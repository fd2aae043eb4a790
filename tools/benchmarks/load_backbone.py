"""Time and memory that load_backbone takes, against torch.load(mmap=True) + load_state_dict.

Writes a ViT-B/16 with random weights as a bare backbone in mmpretrain's names, in timm's, in a
folder of Hugging Face and as an ONNX model, loads each of them and prints medians. The reference
fills a model that is there already; load_backbone also makes it. Memory is the peak of resident
memory of a fresh process (Linux) above that of one that only imports the same modules; it counts
mapped pages once touched, and every weight is touched.

Example:
    python tools/benchmarks/load_backbone.py --repeats 7
"""

from __future__ import annotations

import argparse
import os.path as osp
import subprocess
import sys
import tempfile
from functools import partial

import numpy as np
import torch
from mmengine.logging import MMLogger
from timing import WALL, in_turns, ratio

from mmc_plugin.apis import load_backbone
from mmc_plugin.checkpoints.export import export_backbone
from mmc_plugin.models import PretrainedViT

ARCH = dict(embed_dims=768, num_layers=12, num_heads=12, feedforward_channels=3072)
FORMATS = ('mmpretrain', 'timm', 'huggingface', 'onnx')


def main() -> None:
    """Parse the arguments, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
    parser.add_argument('--repeats', type=int, default=7, help='of each timing')
    parser.add_argument('--threads', type=int, default=1, help='threads on a CPU')
    parser.add_argument('--peak', nargs=2, metavar=('WHAT', 'PATH'), help=argparse.SUPPRESS)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    MMLogger.get_current_instance().setLevel('WARNING')
    if args.peak:
        print_peak(*args.peak)
        return
    with tempfile.TemporaryDirectory() as folder:
        for name in FORMATS:
            path = osp.join(folder, 'a.onnx' if name == 'onnx' else name)
            write(name, path)
            report(name, path, osp.join(folder, 'mmpretrain'), args.repeats)


def make_model() -> PretrainedViT:
    """A ViT-B/16 that can be filled."""
    return PretrainedViT(arch=ARCH, out_type='raw')


def write(name: str, path: str) -> None:
    """Write random weights in a format."""
    torch.manual_seed(0)
    if name == 'mmpretrain':
        model = make_model()
        model.init_weights()
        torch.save(model.state_dict(), path)
    elif name == 'timm':
        import timm

        torch.save(timm.create_model('vit_base_patch16_224', num_classes=0).state_dict(), path)
    elif name == 'onnx':
        model = load_backbone(osp.join(osp.dirname(path), 'mmpretrain'))
        export_backbone(model, path, 'onnx', sha256='not hashed')
    else:
        from transformers import ViTConfig, ViTModel

        ViTModel(ViTConfig(), add_pooling_layer=False).save_pretrained(path)


def reference(path: str, model: PretrainedViT) -> None:
    """What is to be matched."""
    model.load_state_dict(torch.load(path, mmap=True, weights_only=True))


def report(name: str, path: str, plain: str, repeats: int) -> None:
    """Print the medians of one format beside those of the reference, measured in turns."""
    model = make_model()
    # The first turn warms the page cache and the registries up; reading counts, so not the
    # processor's time.
    runs = [partial(load_backbone, path), partial(reference, plain, model)]
    ours, theirs = in_turns(runs, repeats, warmup=1, device=WALL).T
    spread = ratio(ours, theirs)
    weights = sum(value.numel() * value.element_size() for value in model.state_dict().values())
    floor = peak('floor', path)
    print(
        f'{name:12s} load {1e3 * np.median(ours):6.0f} ms, reference '
        f'{1e3 * np.median(theirs):6.0f} ms, ratio {spread.median:.2f} '
        f'({spread.low:.2f} to {spread.high:.2f}); peak '
        f'{(peak("load", path) - floor) / weights:.2f} of the weights ({weights / 2**20:.0f} MiB), '
        f'reference {(peak("reference", plain) - floor) / weights:.2f}'
    )


def peak(what: str, path: str) -> int:
    """Peak resident memory, in bytes, of a process that does this alone."""
    command = [sys.executable, __file__, '--peak', what, path]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return int(output.split()[-1])  # after what imports may print


def print_peak(what: str, path: str) -> None:
    """Load, touch every weight, and print the peak of this process."""
    if what == 'load':
        touch(load_backbone(path))
    elif what == 'reference':
        model = make_model()
        reference(path, model)
        touch(model)
    # Not getrusage: what that returns is inherited from the process that started this one.
    with open('/proc/self/status', encoding='ascii') as file:
        print(next(int(line.split()[1]) * 1024 for line in file if line.startswith('VmHWM:')))


def touch(model: torch.nn.Module) -> None:
    """Read every weight once, so that what is mapped is in memory."""
    for value in model.state_dict().values():
        value.sum()


if __name__ == '__main__':
    main()
