"""The report of a run: how it goes, what looks wrong, and what to do about it."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple

import cv2
import numpy as np

from ..engine.checkpoint import read_last_checkpoint
from ..engine.hooks.feature_monitor import COLLAPSED_SPREAD
from ..engine.hooks.progress import duration
from ..wording import counted
from . import page
from .figures import figure_to_array, new_figure
from .run_log import read_scalars, series
from .run_page import write_pictures

# Our choice, all of them: what is worth a look.
WAITING = 0.1  # share of an iteration that waits for data
FLAT = 0.01  # part of the loss that it fell by in the last third
SLOWER = 0.8  # of the pace of the first half
CODES = 0.05  # of the most prototypes that were ever used at a time
UNREADABLE = 0.01  # of the images
_PACE = dict(
    images_per_second='images per second',
    waiting='share of an iteration that waits for data',
    memory='memory of the GPU, MiB',
    grad_norm='norm of the gradients',
)


class Sign(NamedTuple):
    """Something that looks wrong."""

    what: str
    todo: str


def write_run_report(work_dir: Path) -> tuple[Path, list[Sign]]:
    """Write ``report.html`` and its pictures into the work directory of a run.

    Args:
        work_dir (Path): Of a run that has logged something; it may go on meanwhile.

    Returns:
        tuple[Path, list[Sign]]: The page, and what looks wrong.

    Raises:
        FileNotFoundError: If nothing was logged there.
        InputError: If a file of the run cannot be read.
    """
    records = read_scalars(str(work_dir))
    signs = find_signs(records, read_events(work_dir), _skipped(work_dir))
    pictures = write_pictures(work_dir)
    pace = pace_curves(records)
    if pace is not None:
        cv2.imwrite(str(work_dir / 'pace.png'), pace[..., ::-1])
        pictures['Pace'] = ('pace.png', 'Images per second, waiting for data, memory, gradients.')
    similar = work_dir / 'vis' / 'similarity.png'
    if similar.is_file():
        pictures['A clicked patch'] = (
            'vis/similarity.png',
            'How similar all patches are to one, before and after.',
        )
    rows = [[sign.what, sign.todo] for sign in signs]
    looks = page.grid(['what looks wrong', 'what to do'], rows)
    path = work_dir / 'report.html'
    page.write_page(
        str(path),
        f'The run {work_dir.resolve().name}',
        page.paragraph('; '.join(sign.what for sign in signs) or 'Nothing looks wrong.'),
        [
            ('How it goes', page.table(_facts(work_dir, records))),
            *([('What looks wrong', looks)] if rows else []),
            *(
                (heading, page.paragraph(words) + page.picture(name, words))
                for heading, (name, words) in pictures.items()
            ),
        ],
    )
    return path, signs


def waiting(records: Sequence[dict]) -> tuple[list[int], list[float]]:
    """Steps, and the share of an iteration that waited for data, in [0, 1]."""
    found = [
        (each['step'], each['data_time'] / each['time'])
        for each in records
        if each.get('time') and isinstance(each.get('data_time'), int | float)
    ]
    return [step for step, _ in found], [share for _, share in found]


def pace_curves(records: Sequence[dict]) -> np.ndarray | None:
    """Plots of what a run costs; uint8 RGB (H, W, 3), None if nothing of it was logged."""
    lines = {
        title: waiting(records) if key == 'waiting' else series(list(records), key)
        for key, title in _PACE.items()
    }
    lines = {title: line for title, line in lines.items() if line[0]}
    if not lines:
        return None
    figure = new_figure(4.2 * min(2, len(lines)), 3 * -(-len(lines) // 2))
    axes = [*figure.subplots(-(-len(lines) // 2), min(2, len(lines)), squeeze=False).flat]
    for axis in axes:
        axis.set_visible(False)
    for axis, (title, (steps, values)) in zip(axes, lines.items()):
        axis.set_visible(True)
        axis.plot(steps, values, linewidth=1.5, marker='.' if len(steps) < 3 else '')
        axis.set_title(title, fontsize=11)
        axis.set_xlabel('iteration', fontsize=9)
        axis.set_ylim(bottom=0)
        axis.tick_params(labelsize=8)
        axis.grid(alpha=0.3)
    return figure_to_array(figure)


def read_events(work_dir: Path) -> list[dict]:
    """Steps that :class:`LossRecoveryHook` skipped, and times that it went back."""
    path = work_dir / 'recovery.jsonl'
    lines = path.read_text().splitlines() if path.is_file() else []
    events = []
    for line in lines:
        try:
            events.append(dict(json.loads(line)))
        except ValueError:  # the last one, of a run that was killed
            continue
    return events


def find_signs(
    records: Sequence[dict], events: Sequence[dict], skipped: tuple[int, int | None] = (0, None)
) -> list[Sign]:
    """What looks wrong in a run.

    Args:
        records (Sequence[dict]): Of :func:`read_scalars`.
        events (Sequence[dict]): Of :func:`read_events`.
        skipped (tuple[int, int | None]): Images that could not be read, and all images.
    """
    records = list(records)
    checks = (_not_finite, _skipped_steps, _collapsed, _few_codes, _flat, _waiting, _slower)
    signs = [sign for check in checks if (sign := check(records, events)) is not None]
    bad, images = skipped
    if images and bad > UNREADABLE * images:
        signs.append(
            Sign(
                f'{bad} of {counted(images, "image")} cannot be read',
                'Look at skipped_images.json: is the disk full, was the copy cut short?',
            )
        )
    return signs


def _not_finite(records: list[dict], events: Sequence[dict]) -> Sign | None:
    for each in records:
        names = [k for k, v in each.items() if 'loss' in k and isinstance(v, float)]
        bad = [name for name in names if not math.isfinite(each[name])]
        if bad:
            return Sign(
                f'{bad[0]} was not finite at iteration {each["step"]}',
                'Go on from the last checkpoint with a lower learning rate, in fp32 '
                '(optim_wrapper.precision=fp32) or with stronger clipping; or let '
                'default_hooks.loss_guard.type=LossRecoveryHook leave out such steps.',
            )
    return None


def _skipped_steps(records: list[dict], events: Sequence[dict]) -> Sign | None:
    steps = sum(each.get('event') == 'skipped' for each in events)
    back = sum(each.get('event') == 'rolled back' for each in events)
    if not steps:
        return None
    times = f', and training went back {counted(back, "time")}' if back else ''
    return Sign(
        f'{counted(steps, "step was", "steps were")} skipped{times}',
        'Single ones do no harm. Many of them: lower the learning rate, lengthen the warm-up, or '
        'clip more strongly (optim_wrapper.clip_grad.max_norm).',
    )


def _collapsed(records: list[dict], events: Sequence[dict]) -> Sign | None:
    keys = sorted({key for each in records for key in each if key.startswith('spread/teacher')})
    for key in keys:
        steps, values = series(records, key)
        if steps and steps[-1] > 0 and values[-1] < COLLAPSED_SPREAD:
            return Sign(
                f'the features look collapsed: {key} is {values[-1]:.3f}',
                'All images are given nearly the same features. Lower the learning rate, raise '
                'model.momentum (.9995 for small batches), look whether one loss has gone to its '
                'least value at once.',
            )
    return None


def _few_codes(records: list[dict], events: Sequence[dict]) -> Sign | None:
    _, values = series(records, 'codes')
    if len(values) > 3 and (values[-1] < CODES * max(values) or set(values[-3:]) == {1}):
        used = counted(round(values[-1]), 'prototype')
        return Sign(
            f'the teacher uses {used}, {max(values):.0f} at its best',
            'It is about to give all images one code. Lower the learning rate, lengthen its '
            'warm-up and model.warmup_epochs, keep the last layer frozen for an epoch or more '
            '(FreezeHook).',
        )
    return None


def _flat(records: list[dict], events: Sequence[dict]) -> Sign | None:
    _, values = series(records, 'loss')
    values = [each for each in values if math.isfinite(each)]
    third = len(values) // 3
    if third < 3:
        return None
    before, after = median(values[third : 2 * third]), median(values[-third:])
    _, rates = series(records, 'lr')
    annealed = len(rates) > 1 and rates[-1] < 0.1 * max(rates)
    if after > before - FLAT * abs(before) and not annealed:
        return Sign(
            f'the loss is flat: {before:.4g}, and {after:.4g} in the last third',
            'In the first epochs contrastive losses rest near the logarithm of the number of '
            'negatives: wait for the end of the warm-up. Then try twice and half the learning '
            'rate, and look at the views with tools/visualization/browse_dataset.py.',
        )
    return None


def _waiting(records: list[dict], events: Sequence[dict]) -> Sign | None:
    _, shares = waiting(records)
    share = median(shares) if shares else 0
    if share > WAITING:
        return Sign(
            f'{100 * share:.0f} % of the time goes into waiting for data',
            'Raise train_dataloader.num_workers to the number of cores for each process; put the '
            'images on a local disk, at the size of the largest crop or so, or into shards '
            '(tools/dataset_tools/make_shards.py).',
        )
    return None


def _slower(records: list[dict], events: Sequence[dict]) -> Sign | None:
    _, values = series(records, 'images_per_second')
    half = len(values) // 2
    if half < 3:
        return None
    before, after = median(values[:half]), median(values[half:])
    if after < SLOWER * before:
        return Sign(
            f'it has become slower: {after:.3g} images/s, {before:.3g} at first',
            'Another program on the machine, a disk that is full or far away, or a GPU that is too '
            'hot: look at top, df and nvidia-smi.',
        )
    return None


def _skipped(work_dir: Path) -> tuple[int, int | None]:
    """Images that could not be read, and images in all where the log tells it."""
    path = work_dir / 'skipped_images.json'
    try:
        bad = len(json.loads(path.read_text()))
    except (OSError, ValueError):
        return 0, None
    for log in sorted(work_dir.glob('*/*.log'), reverse=True):
        for line in log.read_text(errors='replace').splitlines():
            words = line.partition('Folder scan: ')[2].split(' images', 1)
            if len(words) == 2 and words[0].isdigit():
                return bad, int(words[0])
    return bad, None


def _facts(work_dir: Path, records: list[dict]) -> list[tuple[str, str]]:
    def middle(key: str) -> float | None:
        values = series(records, key)[1]
        return median(values) if values else None

    losses = series(records, 'loss')
    facts = [('iterations', str(records[-1]['step']))]
    if losses[0]:
        facts.append(('loss', f'{losses[1][0]:.4g} at first, {losses[1][-1]:.4g} now'))
    pace, seconds, shares = middle('images_per_second'), middle('time'), waiting(records)[1]
    if pace is not None:
        facts.append(('images per second', f'{pace:.4g}'))
    if seconds is not None:
        facts.append(('an iteration', f'{seconds:.3g} s'))
        facts.append(('in all', duration(seconds * records[-1]['step'])))
    if shares:
        facts.append(('waiting for data', f'{100 * median(shares):.1f} % of the time'))
    memory = series(records, 'memory')[1]
    if memory:
        facts.append(('memory of the GPU', f'{max(memory):.0f} MiB at most'))
    for key in sorted({k for each in records for k in each if k.startswith(('knn/', 'probe/'))}):
        facts.append((key, f'{series(records, key)[1][-1]:.2f} %'))
    codes, entropies = series(records, 'codes')[1], series(records, 'target_entropy')[1]
    if codes:
        facts.append(
            ('prototypes in use in a batch', f'{codes[-1]:.0f}, {max(codes):.0f} at their most')
        )
    if entropies:
        facts.append(('entropy of the targets', f'{entropies[-1]:.3g} nats'))
    starts = len([*work_dir.glob('*/vis_data/scalars.json')])
    facts.append(('times that it was started', str(starts)))
    last = read_last_checkpoint(str(work_dir))
    facts.append(('last checkpoint', os.path.basename(last) if last else 'none yet'))
    return facts
