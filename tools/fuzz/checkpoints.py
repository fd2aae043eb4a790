"""Hunt for damage to a checkpoint that gets more, or less, than one sentence.

Small checkpoints of each kind are written, then bytes of them are turned over, cut, repeated, moved
and exchanged, and what comes out is read. It must be read, or be refused with an error that is made
for the user, in 5 seconds and little memory. A process of its own reads, so that a crash is found
too; what was found is kept in ``--keep``.

Usage::

    python tools/fuzz/checkpoints.py --number 2000 [--seed 1] [--kind zip] [--keep FOLDER]
"""

from __future__ import annotations

import argparse
import io
import logging
import multiprocessing
import random
import resource
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import torch

from mmc_plugin.checkpoints import read_backbone
from mmc_plugin.errors import InputError, MissingPackageError

ALLOWED = (InputError, MissingPackageError, FileNotFoundError)
SECONDS = 5.0
MEGABYTES = 300  # above what the process has when it starts
_TOKENS = (b'\0', b'\xff' * 4, b'\xff' * 8, b'\x7f\xff\xff\xff', b'PK\x01\x02', b'PK\x05\x06')


def seeds() -> dict[str, bytes]:
    """A tiny vision transformer in each kind of file: name → content."""
    import onnx
    from onnx import numpy_helper
    from safetensors.torch import save

    from mmc_plugin.models import PretrainedViT

    arch = dict(embed_dims=8, num_layers=1, num_heads=2, feedforward_channels=16)
    torch.manual_seed(0)
    state = {
        name: value.detach()
        for name, value in PretrainedViT(arch=arch, img_size=16, patch_size=8).state_dict().items()
    }
    text = "model = dict(backbone=dict(arch=dict(num_heads=2)), type='MMC')"
    run = dict(meta=dict(cfg=text, epoch=1, iter=2), state_dict=state, optimizer=dict(state={}))
    found = {}
    for kind in ('zip', 'legacy'):
        buffer = io.BytesIO()
        torch.save(run, buffer, _use_new_zipfile_serialization=kind == 'zip')
        found[kind] = buffer.getvalue()
    found['safetensors'] = save(state, metadata=dict(format='pt'))
    weights = [numpy_helper.from_array(value.numpy(), name) for name, value in state.items()]
    model = onnx.helper.make_model(onnx.helper.make_graph([], 'vit', [], [], weights))
    found['onnx'] = model.SerializeToString()
    return found


def _place(draw: random.Random, data: bytes) -> int:
    """Anywhere, and as often in the first or last 1,500 bytes, where the structure is."""
    choice = draw.random()
    if choice < 0.5:
        return draw.randrange(len(data))
    near = draw.randrange(min(1500, len(data)))
    return near if choice < 0.75 else len(data) - 1 - near


def _flip(draw: random.Random, data: bytearray, other: bytes) -> bytearray:
    for _ in range(draw.choice((1, 1, 2, 5, 20))):
        data[_place(draw, data)] ^= 1 << draw.randrange(8)
    return data


def _overwrite(draw: random.Random, data: bytearray, other: bytes) -> bytearray:
    place = _place(draw, data)
    token = draw.choice((*_TOKENS, draw.randbytes(draw.randint(1, 16))))
    data[place : place + len(token)] = token
    return data


def _cut(draw: random.Random, data: bytearray, other: bytes) -> bytearray:
    place = _place(draw, data)
    if draw.random() < 0.5:
        return data[: place + 1]
    del data[place : place + draw.randint(1, 64)]
    return data


def _repeat(draw: random.Random, data: bytearray, other: bytes) -> bytearray:
    place, length = _place(draw, data), draw.randint(1, 64)
    data[place:place] = data[place : place + length] * draw.choice((1, 2, 100))
    return data


def _swap(draw: random.Random, data: bytearray, other: bytes) -> bytearray:
    one, two, length = _place(draw, data), _place(draw, data), draw.randint(1, 32)
    first, second = data[one : one + length], data[two : two + length]
    data[one : one + length], data[two : two + length] = second, first
    return data


def _splice(draw: random.Random, data: bytearray, other: bytes) -> bytearray:
    return data[: _place(draw, data) + 1] + other[_place(draw, other) :]


MUTATIONS = (_flip, _flip, _overwrite, _overwrite, _cut, _repeat, _swap, _splice)


def mutate(draw: random.Random, data: bytes, other: bytes) -> bytes:
    """One to three mutations of a file.

    Args:
        draw (random.Random): Decides all of it.
        data (bytes): The file.
        other (bytes): A file that parts may come from.

    Returns:
        bytes: At least one byte.
    """
    changed = bytearray(data)
    for _ in range(draw.choice((1, 1, 1, 2, 3))):
        changed = draw.choice(MUTATIONS)(draw, changed, other) or bytearray(b'\0')
    return bytes(changed)


def judge(path: str) -> tuple[str, float]:
    """Read a file.

    Returns:
        tuple[str, float]: ``'read'``, ``'refused'``, or what is wrong; seconds.
    """
    start = time.perf_counter()
    try:
        read_backbone(path, num_heads=2)
        verdict = 'read'
    except ALLOWED as error:
        sentence = str(error)
        bad = '\n' in sentence or len(sentence) > 4000
        verdict = 'a sentence that is none' if bad else 'refused'
    except BaseException as error:
        verdict = f'{type(error).__name__}: {str(error)[:100]}'
    seconds = time.perf_counter() - start
    return (f'{seconds:.1f} s' if seconds > SECONDS else verdict), seconds


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # Linux counts in KiB


def _reader(pipe) -> None:
    """Reads the files whose names come, and answers with verdict, seconds and peak memory."""
    warnings.simplefilter('ignore')
    logging.disable(logging.WARNING)
    torch.set_num_threads(1)
    start = _peak()
    while (path := pipe.recv()) is not None:
        verdict, seconds = judge(path)
        pipe.send((verdict, seconds, _peak() - start))


class Reader:
    """A process that reads files, and is replaced when it dies, hangs or has taken memory."""

    def __init__(self) -> None:
        self.context = multiprocessing.get_context('fork')
        self.process = None

    def judge(self, path: str) -> tuple[str, float, float]:
        """Verdict of :func:`judge`, seconds, and MB above the start."""
        if self.process is None:
            self.pipe, theirs = self.context.Pipe()
            self.process = self.context.Process(target=_reader, args=(theirs,), daemon=True)
            self.process.start()
            theirs.close()
        self.pipe.send(path)
        verdict, seconds, memory = 'no end', 4 * SECONDS, 0.0
        if self.pipe.poll(4 * SECONDS):
            try:
                verdict, seconds, memory = self.pipe.recv()
            except EOFError:
                self.process.join()
                verdict, seconds = f'the process died ({self.process.exitcode})', 0.0
        if memory > MEGABYTES:
            verdict = f'{memory:.0f} MB'
        if verdict not in ('read', 'refused'):
            self.close()
        return verdict, seconds, memory

    def close(self) -> None:
        """End the process."""
        if self.process is not None:
            self.process.kill()
            self.process.join()
            self.process = None


def hunt(
    number: int,
    seed: int,
    kinds: list[str],
    keep: Path | None = None,
    say: Callable[[str], None] = print,
) -> dict[str, int | float]:
    """Read mutated files, say what is wrong with each that is neither read nor refused.

    Returns:
        dict: ``tried``, ``read``, ``refused``, ``failed``, ``seconds`` and ``megabytes`` (the most
        that a file took).
    """
    corpus = seeds()
    verdicts: Counter[str] = Counter()
    worst = most = 0.0
    reader = Reader()
    with tempfile.TemporaryDirectory() as folder:
        for index in range(number):
            draw = random.Random(f'{seed} {index}')
            kind = kinds[index % len(kinds)]
            other = corpus[draw.choice(sorted(corpus))]
            name = f'{kind}_{seed}_{index}' + ('.onnx' if kind == 'onnx' else '.pth')
            path = Path(folder, name)
            content = mutate(draw, corpus[kind], other)
            path.write_bytes(content)
            verdict, seconds, memory = reader.judge(str(path))
            path.unlink()
            worst, most = max(worst, seconds), max(most, memory)
            verdicts[verdict if verdict in ('read', 'refused') else 'failed'] += 1
            if verdict not in ('read', 'refused'):
                say(f'{name}: {verdict}')
                if keep is not None:
                    keep.mkdir(parents=True, exist_ok=True)
                    (keep / name).write_bytes(content)
    reader.close()
    counts = {key: verdicts[key] for key in ('read', 'refused', 'failed')}
    return dict(tried=number, **counts, seconds=round(worst, 2), megabytes=round(most))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
    parser.add_argument('--number', type=int, default=2000, help='files to try')
    parser.add_argument('--seed', type=int, default=0, help='of the mutations')
    parser.add_argument(
        '--kind',
        nargs='+',
        choices=['zip', 'legacy', 'safetensors', 'onnx'],
        help='kinds of files, by default all',
    )
    parser.add_argument('--keep', type=Path, help='folder for the files that were badly read')
    args = parser.parse_args()
    result = hunt(
        args.number, args.seed, args.kind or ['zip', 'legacy', 'safetensors', 'onnx'], args.keep
    )
    print(', '.join(f'{key} {value}' for key, value in result.items()))
    raise SystemExit(result['failed'] > 0)


if __name__ == '__main__':
    main()
