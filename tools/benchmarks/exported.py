"""Time of features by an exported ONNX model and by torch.compile, against eager PyTorch.

All run in turn, again and again, on the same images in fp32; each turn gives one ratio to eager,
and the medians are reported with the largest difference of the features (``timing.py``). On a CPU
one thread is used unless told otherwise.

Example:
    python tools/benchmarks/exported.py --batches 1 8
    python tools/benchmarks/exported.py --checkpoint work_dirs/vits/epoch_100.pth --device cuda
"""

import argparse
import json
import platform
import tempfile
from functools import partial
from pathlib import Path

import numpy as np
import torch
from mmengine.logging import MMLogger
from mmpretrain.models import VisionTransformer
from timing import in_turns, ratio

from mmc_plugin.apis import load_backbone
from mmc_plugin.checkpoints.export import export_backbone
from mmc_plugin.engine import cli
from mmc_plugin.errors import RunError

RUNTIMES = ('onnx', 'compile')


def parse_args():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--checkpoint', help='what load_backbone reads; default: random weights')
    parser.add_argument(
        '--arch', default='deit-small', help="of mmpretrain's VisionTransformer, for random weights"
    )
    parser.add_argument('--batches', type=int, nargs='+', default=[1, 8], help='images at once')
    parser.add_argument(
        '--runtimes', nargs='+', choices=RUNTIMES, default=list(RUNTIMES), help='by default all'
    )
    parser.add_argument(
        '--device',
        default='cuda' if torch.cuda.is_available() else 'cpu',
        help='cpu or cuda; by default cuda if there is one',
    )
    parser.add_argument('--repeats', type=int, default=10, help='turns that enter the median')
    parser.add_argument('--warmup', type=int, default=2, help='turns before them')
    parser.add_argument('--threads', type=int, default=1, help='threads on a CPU')
    parser.add_argument('--out', type=Path, help='JSON file for the results')
    return parser.parse_args()


def load(args, folder):
    """The model that is measured."""
    source = args.checkpoint
    if source is None:
        torch.manual_seed(0)
        model = VisionTransformer(args.arch)
        model.init_weights()
        source = str(Path(folder) / 'random.pth')
        torch.save(model.state_dict(), source)
    return load_backbone(source)


def onnx_features(model, folder, args):
    """Tokens of images by onnxruntime, as a function."""
    try:
        import onnxruntime
    except ImportError:
        raise RunError('install onnxruntime to measure it, or add --runtimes compile') from None
    gpu = torch.device(args.device).type == 'cuda'
    provider = 'CUDAExecutionProvider' if gpu else 'CPUExecutionProvider'
    if provider not in onnxruntime.get_available_providers():
        raise RunError(
            f'this onnxruntime has no {provider}: install onnxruntime-gpu, or add '
            '--runtimes compile'
        )
    path = str(Path(folder) / 'model.onnx')
    export_backbone(model, path, 'onnx', sha256='not hashed')
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = args.threads
    session = onnxruntime.InferenceSession(path, options, providers=[provider])

    def run(images):
        cls, patches = session.run(None, dict(images=images.cpu().numpy()))
        return torch.from_numpy(np.concatenate([cls[:, None], patches], axis=1))

    return run


def features(model):
    """Tokens of images by PyTorch, as a function."""

    def run(images):
        with torch.no_grad():
            return model(images)[0]

    return run


def measure(runs, images, args):
    """One row for each runtime: milliseconds, ratio to eager, difference of the features."""
    expected = runs['eager'](images).cpu()
    worst = {name: float((run(images).cpu() - expected).abs().max()) for name, run in runs.items()}
    calls = [partial(run, images) for run in runs.values()]
    times = in_turns(calls, args.repeats, args.warmup, images.device).T
    rows = []
    for name, seconds in zip(runs, times, strict=True):
        spread = ratio(seconds, times[0])
        rows.append(
            dict(
                batch=len(images),
                runtime=name,
                milliseconds=1e3 * float(np.median(seconds)),
                ratio=spread.median,
                ratio_min=spread.low,
                ratio_max=spread.high,
                max_difference=worst[name],
            )
        )
    return rows


def benchmark(args, folder):
    """Rows of all batch sizes; prints each as it comes."""
    model = load(args, folder)
    runs = {}
    if 'onnx' in args.runtimes:
        runs['onnx'] = onnx_features(model, folder, args)
    model.to(args.device)
    runs = dict(eager=features(model)) | runs
    if 'compile' in args.runtimes:
        runs['compile'] = features(torch.compile(model, dynamic=False))
    size = model.img_size
    print(f'{"batch":>5} {"runtime":8} {"ms":>9} {"ratio":>6} {"min":>6} {"max":>6} {"differ":>8}')
    rows = []
    for batch in args.batches:
        images = torch.randn(batch, 3, *size, device=args.device)
        for row in measure(runs, images, args):
            rows.append(row)
            print(
                f'{batch:5} {row["runtime"]:8} {row["milliseconds"]:9.2f} {row["ratio"]:6.2f} '
                f'{row["ratio_min"]:6.2f} {row["ratio_max"]:6.2f} {row["max_difference"]:8.1e}',
                flush=True,
            )
    return rows


def main():
    args = parse_args()
    MMLogger.get_instance('benchmark', log_level='ERROR')
    torch.set_num_threads(args.threads)
    with cli.one_sentence_errors(), tempfile.TemporaryDirectory() as folder:
        rows = benchmark(args, folder)
    gpu = torch.device(args.device).type == 'cuda'
    if args.out is not None:
        results = dict(
            checkpoint=args.checkpoint,
            arch=None if args.checkpoint else args.arch,
            device=torch.cuda.get_device_name(args.device) if gpu else platform.machine(),
            threads=None if gpu else args.threads,
            repeats=args.repeats,
            torch=torch.__version__,
            rows=rows,
        )
        args.out.write_text(json.dumps(results, indent=2) + '\n')


if __name__ == '__main__':
    main()
