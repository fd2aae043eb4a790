"""Kill trainings again and again, and see that each comes to what one run alone comes to.

Example: ``python tools/fuzz/kills.py --number 100 --seed 1``

A training of two seconds is killed (SIGKILL, with its workers), at any time or, every other time,
when it is writing a checkpoint, and goes on with ``--resume`` until it is at its end. Then the
losses of each iteration, of every time that it was done, and the last checkpoint's weights,
momenta and schedule are compared, to the bit, with those of a training that was never killed.
What a kill left behind is looked at before the next start: half-written files, and whether what
had been saved is there still. Runs are forks of a process that has imported everything.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import runpy
import signal
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from mmc_plugin.durable import TEMPORARY
from mmc_plugin.engine import cli
from mmc_plugin.engine.checkpoint import find_resumable_checkpoint
from mmc_plugin.hosts import import_quietly

for _part in ('datasets', 'engine', 'visualization'):  # which a run imports late
    import_quietly(f'mmpretrain.{_part}')

TRAIN = cli.ROOT / 'tools' / 'train.py'
EPOCHS, ITERS, BATCH = 4, 3, 8
LONGEST = 120  # seconds of one run, on a machine that does other things too
CONFIG = """
_base_ = [{base!r}]
model = dict(
    backbone=dict(
        img_size=32,
        arch=dict(embed_dims=48, num_layers=2, num_heads=3, feedforward_channels=96),
        drop_path_rate=0.2,
    ),
    rec_head=dict(in_channels=48, hidden_channels=384),
    patch_head=dict(in_channels=48, hidden_channels=384, out_channels=16),
    cls_head=dict(in_channels=48, hidden_channels=384, out_channels=16),
)
view = [dict(type='ViewCrop', size=32, scale=(0.2, 1.0)), dict(type='ViewFlip', prob=0.5)]
train_dataloader = dict(
    batch_size={batch},
    num_workers=1,
    sampler=dict(_delete_=True, type='SeededSampler', shuffle=True),
    dataset=dict(
        data_root={images!r},
        pipeline=[
            dict(type='LoadImage'),
            dict(type='MultiView', num_views=[1, 1], transforms=[view, view]),
            dict(type='GMMLMask', align=8),
            dict(type='PackViews'),
        ],
    ),
)
train_cfg = dict(max_epochs={epochs})
param_scheduler = [dict(type='CosineAnnealingLR', by_epoch=True, convert_to_iter_based=True)]
default_hooks = dict(
    logger=dict(interval=1),
    checkpoint=dict(interval=1, max_keep_ckpts=2),
    reconstruction=dict(interval=0),
    features=None,
)
log_processor = dict(window_size=1)
visualizer = dict(vis_backends=[dict(type='LocalVisBackend')])
"""


def prepare(folder: Path) -> Path:
    """Write images and a config; returns the config."""
    images = folder / 'images'
    images.mkdir()
    generator = np.random.default_rng(0)
    for number in range(ITERS * BATCH):
        image = generator.integers(0, 255, (6, 6, 3), dtype=np.uint8)
        image = cv2.resize(image, (64, 48), interpolation=cv2.INTER_CUBIC)
        cv2.imwrite(str(images / f'{number:02}.png'), image)
    base = str(cli.ROOT / 'configs' / 'mmc' / 'quickstart.py')
    config = folder / 'killed.py'
    config.write_text(CONFIG.format(base=base, images=str(images), batch=BATCH, epochs=EPOCHS))
    return config


def start(config: Path, work_dir: Path) -> int:
    """Start a training that goes on from what there is, in a fork; returns its process id."""
    work_dir.mkdir(exist_ok=True)
    process = os.fork()
    if process:
        os.setpgid(process, process)  # whoever of the two is first
        return process
    code = 1
    try:
        os.setpgid(0, 0)  # its workers are of its group, and die with it
        log = os.open(work_dir / 'printed.txt', os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(log, 1)
        os.dup2(log, 2)
        sys.argv = [str(TRAIN), str(config), '--work-dir', str(work_dir), '--resume']
        runpy.run_path(str(TRAIN), run_name='__main__')
        code = 0
    except SystemExit as error:
        code = error.code or 0
    finally:
        sys.stdout.flush()
        os._exit(code if isinstance(code, int) else 1)


def follow(process: int, work_dir: Path, seconds: float, write: int | None) -> int:
    """Kill a run after some seconds, or at a write.

    Args:
        process (int): Its id, which is that of its group.
        work_dir (Path): Where temporary files appear.
        seconds (float): Until the kill; after the write, if one is waited for.
        write (int | None): Which write of a checkpoint is waited for.

    Returns:
        int: Its exit code, or minus a signal.
    """
    begin, seen = time.monotonic(), 0
    there = bool(_half_written(work_dir))  # by a run before
    due = begin + seconds if write is None else None
    while True:
        ended, status = os.waitpid(process, os.WNOHANG)
        if ended:
            break
        now = time.monotonic()
        if due is None:
            was, there = there, bool(_half_written(work_dir))
            seen += there and not was
            if seen == write:
                due = now + seconds
        elif write is None:
            time.sleep(0.001)
        if due is not None and now >= due or now > begin + LONGEST:
            os.killpg(process, signal.SIGKILL)
            status = os.waitpid(process, 0)[1]
            break
    return os.waitstatus_to_exitcode(status)


def _half_written(work_dir: Path) -> set[tuple[str, int]]:
    """Name and time of each checkpoint that has not its last name yet."""
    found = set()
    for path in work_dir.glob(f'*.pth{TEMPORARY}'):
        with suppress(FileNotFoundError):  # it has it now
            found.add((path.name, path.stat().st_mtime_ns))
    return found


def losses(work_dir: Path) -> dict[int, set[tuple]]:
    """Iteration → what the runs that did it wrote of it, in full precision."""
    seen: dict[int, set[tuple]] = {}
    for path in work_dir.glob('*/vis_data/scalars.json'):
        for line in path.read_text().splitlines(keepends=True):
            if line.endswith('\n'):  # else killed in the middle of it
                row = json.loads(line)
                names = [name for name in row if 'loss' in name or name in ('grad_norm', 'lr')]
                values = tuple((name, row[name]) for name in sorted(names))
                seen.setdefault(row['iter'], set()).add(values)
    return seen


def content(work_dir: Path) -> dict[str, Any]:
    """What the last checkpoint says of weights, optimiser and schedule: dotted key → value."""
    path = max(map(str, work_dir.glob('*.pth')), key=_number)
    checkpoint = torch.load(path, weights_only=False, map_location='cpu')
    found: dict[str, Any] = {}

    def walk(value: Any, key: str) -> None:
        if isinstance(value, dict):
            for name in value:
                walk(value[name], f'{key}.{name}')
        elif isinstance(value, list | tuple):
            for number, each in enumerate(value):
                walk(each, f'{key}.{number}')
        else:
            found[key] = value

    for part in ('state_dict', 'optimizer', 'param_schedulers'):
        walk(checkpoint[part], part)
    return found


def differences(work_dir: Path, whole: Path) -> list[str]:
    """What is not as in the training that was never killed, in words."""
    found = []
    mine, theirs = losses(work_dir), losses(whole)
    wrong = [n for n in sorted(mine.keys() | theirs.keys()) if mine.get(n) != theirs.get(n)]
    if wrong:
        found.append(f'losses of the iterations {wrong}')
    mine, theirs = content(work_dir), content(whole)
    wrong = [key for key in sorted(mine.keys() | theirs.keys()) if not _same(mine, theirs, key)]
    if wrong:
        found.append(f'{len(wrong)} values of the last checkpoint, such as {wrong[0]}')
    left = [path.name for path in work_dir.rglob(f'*{TEMPORARY}')]
    if left:
        found.append(f'left behind: {left}')
    return found


def _same(mine: dict, theirs: dict, key: str) -> bool:
    if key not in mine or key not in theirs:
        return False
    one, two = mine[key], theirs[key]
    if isinstance(one, torch.Tensor) and isinstance(two, torch.Tensor):
        return one.dtype == two.dtype and torch.equal(one, two)
    return one == two


def hunt(number: int, seed: int, folder: Path) -> Counter:
    """Kill so many times; says what is wrong.

    Returns:
        Counter: ``kills``, ``writing`` (those that left a half-written checkpoint), ``runs``
        (trainings that came to their end) and ``failed``.
    """
    draw, counts = random.Random(seed), Counter()
    config = prepare(folder)
    begin = time.monotonic()
    whole = folder / 'whole'
    if follow(start(config, whole), whole, LONGEST, None):
        raise SystemExit(f'the training that is not killed fails: {whole / "printed.txt"}')
    length = time.monotonic() - begin
    if sorted(losses(whole)) != list(range(1, EPOCHS * ITERS + 1)):
        raise SystemExit('the training that is not killed does not log each iteration')
    while counts['kills'] < number:
        work_dir = folder / str(counts['runs'])
        fault = None
        while fault is None:
            if counts['kills'] % 2 or counts['kills'] >= number:
                write, seconds = None, draw.uniform(0.3, 1) * length
            else:
                write, seconds = draw.randint(1, 2), draw.choice((0, draw.uniform(0, 0.02)))
            if counts['kills'] >= number:
                seconds = LONGEST
            before, left = find_resumable_checkpoint(str(work_dir)), _half_written(work_dir)
            code = follow(start(config, work_dir), work_dir, seconds, write)
            if code == 0:
                break
            if code != -signal.SIGKILL:
                fault = f'exit code {code}: see {work_dir / "printed.txt"}'
                break
            counts['kills'] += 1
            counts['writing'] += bool(_half_written(work_dir) - left)
            after = find_resumable_checkpoint(str(work_dir))
            if before is not None and (after is None or _number(after) < _number(before)):
                fault = f'{before} was there, and now the newest whole one is {after}'
        faults = [fault] if fault else differences(work_dir, whole)
        counts['runs'] += 1
        counts['failed'] += bool(faults)
        for fault in faults:
            print(f'{work_dir}: {fault}', flush=True)
    return counts


def _number(path: str) -> int:
    return int(Path(path).stem.rpartition('_')[2])


def main(argv: list[str] | None = None) -> None:
    """Kill and print a summary; the exit code is 1 if a training did not come to the same."""
    parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
    parser.add_argument('--number', type=int, default=100, help='times to kill')
    parser.add_argument('--seed', type=int, default=0, help='of when to kill')
    parser.add_argument('--keep', type=Path, help='an empty folder for the runs; else they go')
    args = parser.parse_args(argv)
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    with tempfile.TemporaryDirectory() as temporary:
        folder = (args.keep or Path(temporary)).absolute()
        folder.mkdir(parents=True, exist_ok=True)
        counts = hunt(args.number, args.seed, folder)
    print(
        f'killed {counts["kills"]} times, {counts["writing"]} of them with a checkpoint half '
        f'written: {counts["runs"]} trainings at their end, {counts["failed"]} failed'
    )
    sys.exit(counts['failed'] > 0)


if __name__ == '__main__':
    main()
