"""Damage images at random and see that each is read or refused, in little time and memory.

Example: ``python tools/fuzz/images.py --number 10000 --seed 1 --keep found``

Images are decoded in child processes, so that a crash or an endless one is a finding like others:
an error that is no ``UnreadableImageError``, two decodings that differ, and what exceeds the
limits of time and memory. Needs Linux, whose /proc tells the memory.
"""

import argparse
import io
import os
import random
import resource
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from mmengine.registry import init_default_scope
from mmpretrain.registry import MODELS, TRANSFORMS
from PIL import Image

from mmc_plugin.apis import PromptSegmenter
from mmc_plugin.datasets.transforms.loading import LoadImage, UnreadableImageError
from mmc_plugin.engine.cli import load_config

_HARD_SECONDS, _HARD_BYTES, _BATCH = 30, 2**32, 100
_SLICES = 2**22  # bytes that a repeated slice may grow to
_NUMBERS = [
    0,
    1,
    2,
    0x7F,
    0x80,
    0xFF,
    0x100,
    0x2000,
    0x7FFF,
    0x8000,
    0xFFFF,
    0x10000,
    2**31,
    2**32 - 1,
]
_FORMS = ['<H', '>H', '<I', '>I']


def make_seeds() -> dict[str, bytes]:
    """Small sound images of every format, by a name of their form."""
    y, x = np.mgrid[0:48, 0:64]
    colour = Image.fromarray(
        np.stack([255 * x // 64, 255 * y // 48, (x * y) % 256], -1).astype(np.uint8)
    )
    grey, ink = colour.convert('L'), colour.convert('CMYK')
    deep = np.asarray(grey).astype(np.uint16) * 257
    exif = Image.Exif()
    exif[0x0112] = 6
    forms = {
        'jpeg': (colour, 'JPEG', {}),
        'jpeg_progressive': (colour, 'JPEG', dict(progressive=True, subsampling=0)),
        'jpeg_exif': (colour, 'JPEG', dict(exif=exif)),
        'jpeg_cmyk': (ink, 'JPEG', {}),
        'png': (colour, 'PNG', {}),
        'png_16': (Image.fromarray(deep), 'PNG', {}),
        'png_palette': (colour.quantize(16), 'PNG', {}),
        'webp': (colour, 'WEBP', {}),
        'webp_lossless': (colour, 'WEBP', dict(lossless=True)),
        'webp_animated': (colour, 'WEBP', dict(save_all=True, append_images=[colour.rotate(90)])),
        'tiff': (colour, 'TIFF', {}),
        'tiff_16': (Image.fromarray(deep), 'TIFF', {}),
        'tiff_32': (Image.fromarray(deep.astype(np.int32)), 'TIFF', {}),
        'tiff_lzw': (colour, 'TIFF', dict(compression='tiff_lzw')),
        'tiff_deflate': (ink, 'TIFF', dict(compression='tiff_deflate')),
        'tiff_jpeg': (colour, 'TIFF', dict(compression='jpeg')),
        'tiff_group3': (grey.convert('1'), 'TIFF', dict(compression='group3')),
        'tiff_group4': (grey.convert('1'), 'TIFF', dict(compression='group4')),
        'bmp': (colour, 'BMP', {}),
        'gif': (colour.quantize(32), 'GIF', {}),
        'gif_animated': (grey, 'GIF', dict(save_all=True, append_images=[grey.rotate(90)])),
        'ppm': (colour, 'PPM', {}),
    }
    seeds = {}
    for name, (image, form, options) in forms.items():
        buffer = io.BytesIO()
        image.save(buffer, form, **options)
        seeds[name] = buffer.getvalue()
    return seeds


def _flip(data: bytearray, rng: random.Random) -> bytearray:
    for _ in range(rng.choice((1, 2, 8, 32))):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return data


def _cut(data: bytearray, rng: random.Random) -> bytearray:
    return data[: rng.randrange(len(data))]


def _remove(data: bytearray, rng: random.Random) -> bytearray:
    start = rng.randrange(len(data))
    return data[:start] + data[start + rng.randrange(1, 64) :]


def _edit_number(data: bytearray, rng: random.Random) -> bytearray:
    """Write a number that headers do not expect, mostly near the beginning or the end."""
    for _ in range(rng.choice((1, 1, 2, 4))):
        form, number = rng.choice(_FORMS), rng.choice(_NUMBERS)
        size = 2 if form[1] == 'H' else 4
        reach = max(1, min(len(data) - size, rng.choice((32, 64, 256, len(data)))))
        at = rng.randrange(reach) if rng.random() < 0.7 else len(data) - size - rng.randrange(reach)
        order = 'little' if form[0] == '<' else 'big'
        data[max(0, at) : max(0, at) + size] = (number % 256**size).to_bytes(size, order)
    return data


def _claim_size(data: bytearray, rng: random.Random) -> bytearray:
    """Two equal large numbers, one behind the other, where a size may stand."""
    side, form = rng.choice((3000, 5000, 8192, 16383, 30000)), rng.choice(_FORMS)
    size = 2 if form[1] == 'H' else 4
    order = 'little' if form[0] == '<' else 'big'
    frame = max(data.find(b'\xff\xc0'), data.find(b'\xff\xc2'))
    at = {b'\xff\xd8': frame + 5, b'\x89P': 16, b'GI': 6, b'BM': 18}.get(bytes(data[:2]))
    if data[:2] == b'RI' and data[12:16] == b'VP8X':
        data[24:30] = (side - 1).to_bytes(3, 'little') * 2
        return data
    if at is None:
        at = rng.randrange(min(256, len(data)))
    else:  # as this format writes it
        short, order = data[:2] in (b'\xff\xd8', b'GI'), 'little' if at in (6, 18) else 'big'
        size = 2 if short else 4
    data[at : at + 2 * size] = (side % 256**size).to_bytes(size, order) * 2
    return data


def _repeat(data: bytearray, rng: random.Random) -> bytearray:
    """Repeat a slice, often one that begins with a marker, up to megabytes."""
    markers = [at for at in range(len(data) - 1) if data[at] == 0xFF and data[at + 1] > 0xBF]
    start = rng.choice(markers) if markers and rng.random() < 0.5 else rng.randrange(len(data))
    piece = data[start : start + rng.choice((1, 2, 4, 12, 64, 1024))]
    times = rng.choice((2, 100, 1000, _SLICES // max(1, len(piece))))
    return data[:start] + piece * min(times, _SLICES // max(1, len(piece))) + data[start:]


_MUTATIONS: list[Callable[[bytearray, random.Random], bytearray]] = [
    _flip,
    _cut,
    _remove,
    _edit_number,
    _claim_size,
    _repeat,
]


def mutate(data: bytes, rng: random.Random) -> bytes:
    """Damage bytes in one to three ways."""
    damaged = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 3))):
        if len(damaged) > 8:
            damaged = rng.choice(_MUTATIONS)(damaged, rng)
    return bytes(damaged)


@dataclass
class Outcome:
    """Of one image: ``'read'``, ``'refused'`` or what went wrong; seconds; bytes of memory."""

    word: str
    seconds: float
    memory: int


def damaged_seed(seed: int, number: int, seeds: dict[str, bytes]) -> tuple[str, bytes]:
    """Name of the form and content of an image, the same for the same numbers."""
    rng = random.Random(seed * 10**9 + number)
    name = rng.choice(sorted(seeds))
    return name, mutate(seeds[name], rng)


def _memory(name: str) -> int:
    """Bytes that the process has now (``VmRSS``) or had at most (``VmHWM``)."""
    status = Path('/proc/self/status').read_text()
    return int(status.split(f'{name}:')[1].split()[0]) * 1024


def _loader() -> Callable[[str], np.ndarray]:
    load = LoadImage()
    return lambda path: load(dict(img_path=path))['img']


def _pipeline() -> Callable[[str], np.ndarray]:
    """That of a pretraining, the same draw for each image."""
    init_default_scope('mmpretrain')
    parts = load_config('mmc/vitt_caltech101.py', None).train_dataloader.dataset.pipeline
    transforms = [TRANSFORMS.build(part) for part in parts]

    def run(path: str) -> np.ndarray:
        random.seed(0)
        np.random.seed(0)
        torch.manual_seed(0)
        results = dict(img_path=path, sample_idx=0)
        for transform in transforms:
            results = transform(results)
        return np.stack([np.asarray(view) for view in results['inputs']])

    return run


def _api() -> Callable[[str], np.ndarray]:
    """A click into the middle."""
    torch.manual_seed(0)
    arch = dict(embed_dims=48, num_layers=1, num_heads=3, feedforward_channels=96)
    backbone = dict(type='PretrainedViT', arch=arch, img_size=64, patch_size=16, out_type='raw')
    segmenter = PromptSegmenter(MODELS.build(backbone), cache=0, size=64)
    return lambda path: np.asarray(segmenter.segment(path, [(0, 0)]).mask)


THROUGH = dict(loader=_loader, pipeline=_pipeline, api=_api)


def _decode(load: Callable[[str], np.ndarray], path: str, baseline: int) -> str:
    """In the child: seconds, bytes above the baseline and what came of it."""
    Path('/proc/self/clear_refs').write_text('5')  # the most it had is now what it has
    start = time.process_time()  # other programs do not count
    word, image = 'refused', None
    try:
        image = load(path)
        word = 'read'
    except UnreadableImageError:
        pass
    except BaseException as error:  # whatever it is, it is a finding
        word = ' '.join(f'{type(error).__name__}: {error}'.split())[:200]
    seconds, memory = time.process_time() - start, _memory('VmHWM') - baseline
    if image is not None and image.size < 2**20 and not _same_again(load, path, image):
        word = 'two decodings differ'
    return f'{seconds}\t{memory}\t{word}\n'


def _same_again(load: Callable[[str], np.ndarray], path: str, image: np.ndarray) -> bool:
    for value in (0x55, 0xAA):  # what uninitialised memory may show
        blocks = [np.full(size, value, np.uint8) for size in (2**10, 2**12, 2**14, 2**16)]
        del blocks
        try:
            again = load(path)
        except UnreadableImageError:
            return False
        if not np.array_equal(image, again):
            return False
    return True


def _work(
    writer: int,
    path: str,
    seed: int,
    numbers: range,
    seeds: dict[str, bytes],
    load: Callable[[str], np.ndarray],
) -> None:
    """The child: decode images one after the other and write a line for each."""
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 1)
    os.dup2(quiet, 2)
    pages = int(Path('/proc/self/statm').read_text().split()[0])
    limit = pages * resource.getpagesize() + _HARD_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    Path(path).write_bytes(seeds['png'])
    load(path)  # what the first one makes is of the baseline
    baseline = _memory('VmRSS')
    for number in numbers:
        Path(path).write_bytes(damaged_seed(seed, number, seeds)[1])
        signal.alarm(_HARD_SECONDS)
        os.write(writer, _decode(load, path, baseline).encode(errors='replace'))


def outcomes(
    seed: int, number: int, seeds: dict[str, bytes], through: str = 'loader'
) -> Iterator[Outcome]:
    """Decode images in child processes, which end after some images or at one that ends them."""
    load = THROUGH[through]()
    done = 0
    with tempfile.TemporaryDirectory() as folder:
        while done < number:
            numbers = range(done, min(number, done + _BATCH))
            reader, writer = os.pipe()
            child = os.fork()
            if not child:
                try:
                    os.close(reader)
                    _work(writer, os.path.join(folder, 'image'), seed, numbers, seeds, load)
                finally:
                    os._exit(0)
            os.close(writer)
            with os.fdopen(reader) as pipe:
                for line in pipe:
                    seconds, memory, word = line.rstrip('\n').split('\t', 2)
                    yield Outcome(word, float(seconds), int(memory))
                    done += 1
            status = os.waitpid(child, 0)[1]
            if done < numbers.stop:
                how = (
                    signal.Signals(os.WTERMSIG(status)).name
                    if os.WIFSIGNALED(status)
                    else f'exit {status}'
                )
                yield Outcome(f'ended by {how}', _HARD_SECONDS if how == 'SIGALRM' else 0, 0)
                done += 1


def main(argv: list[str] | None = None) -> None:
    """Try images and print a summary; the exit code is 1 if one failed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--number', type=int, default=1000, help='images to try')
    parser.add_argument('--seed', type=int, default=0, help='of the damage')
    parser.add_argument(
        '--seconds', type=float, default=2, help='most of the processor that one may take'
    )
    parser.add_argument('--megabytes', type=float, default=300, help='most above the baseline')
    parser.add_argument(
        '--through',
        choices=THROUGH,
        default='loader',
        help='what reads them: the loader alone, a pretraining pipeline, or a click of the API',
    )
    parser.add_argument('--keep', help='folder for the images that fail')
    args = parser.parse_args(argv)
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
    seeds, words, found = make_seeds(), Counter(), []
    slowest = largest = Outcome('', 0, 0)
    for number, outcome in enumerate(outcomes(args.seed, args.number, seeds, args.through)):
        slowest = max(slowest, outcome, key=lambda each: each.seconds)
        largest = max(largest, outcome, key=lambda each: each.memory)
        fault = None if outcome.word in ('read', 'refused') else outcome.word
        if outcome.seconds > args.seconds:
            fault = f'{outcome.seconds:.1f} s ({outcome.word})'
        elif outcome.memory > args.megabytes * 1e6:
            fault = f'{outcome.memory / 1e6:.0f} MB ({outcome.word})'
        words['failed' if fault else outcome.word] += 1
        if fault:
            name, data = damaged_seed(args.seed, number, seeds)
            found.append(fault)
            print(f'{number} {name}: {fault}', flush=True)
            if args.keep:
                os.makedirs(args.keep, exist_ok=True)
                (Path(args.keep) / f'{args.seed}_{number}_{name}').write_bytes(data)
    print(
        f'tried {args.number}: read {words["read"]}, refused {words["refused"]}, '
        f'failed {words["failed"]}; worst {slowest.seconds:.2f} s, {largest.memory / 1e6:.0f} MB'
    )
    sys.exit(bool(found))


if __name__ == '__main__':
    main()
