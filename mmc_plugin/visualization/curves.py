"""Curves of one or several runs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import cycle

import numpy as np
from matplotlib.legend import Legend
from matplotlib.lines import Line2D

from ..errors import InputError
from .figures import figure_to_array, new_figure
from .run_log import series

_TITLES = dict(
    loss='total loss',
    loss_rec='reconstruction loss',
    loss_patch='patch loss',
    loss_cls='class token loss',
    loss_region='region loss',
    loss_match='matching loss',
    loss_entropy='mean entropy loss',
    lr='learning rate',
    codes='prototypes in use in a batch',
    target_entropy='entropy of the targets, nats',
    knn='k-NN accuracy, %',
    probe='online linear probe, %',
    spread='feature spread (0 collapsed, 1 isotropic)',
    effective_rank='effective rank',
)
_SINGLE = ('lr', 'codes', 'target_entropy')
_GROUPS = ('knn', 'probe', 'spread', 'effective_rank')
# Drawn in ten seconds; more take minutes, and nobody finds one among them.
_MAX_PLOTS, _MAX_LINES = 24, 200
# Characters of a name that are shown.
_MAX_NAME = 60
# Beyond, the axes' ticks overflow.
_LARGEST = 1e300
_LINE_STYLES = {'-': 'solid', '--': 'dashed', ':': 'dotted', '-.': 'dash-dotted'}


def _legend_label(key: str) -> str:
    """What of a group a scalar is: ``knn/teacher_cls_k10`` → ``teacher cls k10``."""
    return key.split('/', 1)[1].replace('_', ' ') if '/' in key else ''


def _shorten(name: str) -> str:
    return name if len(name) <= _MAX_NAME else f'{name[: _MAX_NAME - 1]}…'


def _drawable(values: list[float]) -> np.ndarray:
    """Values with gaps where they are beyond what axes can show."""
    values = np.array(values, float)
    return np.where(np.abs(values) <= _LARGEST, values, np.nan)


def _to_compare(keys: list[str]) -> list[str]:
    """What of a group fits beside other runs: the teacher's, for the smallest number of
    neighbours."""
    keys = [key for key in keys if 'teacher' in key] or keys
    neighbours = [re.search(r'_k(\d+)$', key) for key in keys]
    smallest = min((int(found[1]) for found in neighbours if found), default=None)
    return [
        key
        for key, found in zip(keys, neighbours, strict=True)
        if found is None or int(found[1]) == smallest
    ]


def _plots(records: list[dict]) -> dict[str, list[str]]:
    """Which scalars share a plot: each loss has its own, features' scalars one for each kind."""
    keys = list(dict.fromkeys(key for record in records for key in record))
    losses = sorted(key for key in keys if key.startswith('loss_'))
    # The total is only worth a plot of its own where it is no sum of several.
    plots = {key: [key] for key in (losses or ['loss']) if key in keys}
    plots |= {key: [key] for key in _SINGLE if key in keys}
    for group in _GROUPS:
        members = sorted(key for key in keys if key.startswith(f'{group}/'))
        if members:
            plots[group] = members
    return plots


def _legend(legend: Legend) -> None:
    for text in legend.get_texts():  # a $ in a name is no formula
        text.set_parse_math(False)


def training_curves(runs: Mapping[str, list[dict]]) -> np.ndarray:
    """Plot the losses apart, the learning rate, the use of prototypes and of the features' space.

    Of several runs only the teacher's features are shown (the student's of a run without a
    teacher), and k-NN for the smallest k.

    Args:
        runs (Mapping[str, list[dict]]): For each run's name its records of :func:`read_scalars`.

    Returns:
        np.ndarray: uint8 RGB of shape (H', W', 3).

    Raises:
        InputError: If no run has a loss, a learning rate or a number of its features, or there are
            more than 24 plots or 200 lines.
    """
    plots: dict[str, list[str]] = {}
    for records in runs.values():
        for name, keys in _plots(records).items():
            plots.setdefault(name, [])
            plots[name] += [key for key in keys if key not in plots[name]]
    if not plots:
        raise InputError('There is nothing to plot: no scalar is a loss, lr or a feature number.')
    several = len(runs) > 1
    if several:
        plots = {name: _to_compare(keys) for name, keys in plots.items()}
    lines = len(runs) * sum(map(len, plots.values()))
    if len(plots) > _MAX_PLOTS or lines > _MAX_LINES:
        raise InputError(
            f'There are {len(plots)} plots of {lines} lines: '
            f'at most {_MAX_PLOTS} plots of {_MAX_LINES} lines are drawn. Name fewer runs, or runs '
            'that log fewer losses (loss_…) and feature numbers.'
        )

    columns = min(3, len(plots))
    rows = -(-len(plots) // columns)
    longest = max(len(_shorten(name)) for name in runs)
    fit = max(int(4.2 * columns / (0.7 + 0.12 * longest)), 1)  # inches: a line, and each letter
    lines_of_names = -(-len(runs) // min(fit, 3 * columns))
    figure = new_figure(4.2 * columns, 3 * rows + 0.2 * (lines_of_names - 1))
    axes = figure.subplots(rows, columns, squeeze=False).flat
    # plots first: zip takes from its first argument before it finds the second one exhausted.
    for (name, keys), axis in zip(plots.items(), axes, strict=False):
        for number, (run, records) in enumerate(runs.items()):
            for key, line_style in zip(keys, cycle(_LINE_STYLES)):
                steps, values = series(records, key)
                if not steps and several:  # a method without a teacher, such as MAE
                    steps, values = series(records, key.replace('/teacher_', '/student_'))
                if not steps:
                    continue
                marker = '.' if '/' in key or len(steps) < 3 else ''
                style = dict(linewidth=1.5, marker=marker, label=_shorten(_legend_label(key)))
                if several:  # a colour for each run
                    # One entry in the legend; matplotlib leaves out what begins with "_".
                    style.update(
                        color=f'C{number}',
                        linestyle=line_style,
                        label=_shorten(run if key == keys[0] else f'_{run} {_legend_label(key)}'),
                    )
                axis.plot(steps, _drawable(values), **style)
        title = _TITLES.get(name, _shorten(name))
        if several and len(keys) > 1:
            title += '\n' + ', '.join(
                f'{_shorten(_legend_label(key))} {words}'
                for key, words in zip(keys, _LINE_STYLES.values())
            )
        # A $ in a name is no formula.
        axis.set_title(title, fontsize=11 if '\n' not in title else 9, parse_math=False)
        axis.set_xlabel('iteration', fontsize=9)
        axis.xaxis.get_major_locator().set_params(integer=True)
        axis.tick_params(labelsize=8)
        axis.grid(alpha=0.3)
        if not several and axis.get_legend_handles_labels()[0]:
            _legend(axis.legend(fontsize=7, frameon=False))
    for axis in list(axes):
        axis.set_visible(False)
    if several:  # once, outside, where it hides no line
        colours = [
            Line2D([], [], color=f'C{number}', label=_shorten(name))
            for number, name in enumerate(runs)
        ]
        _legend(
            figure.legend(
                handles=colours,
                loc='outside upper center',
                ncols=-(-len(runs) // lines_of_names),
                frameon=False,
            )
        )
    return figure_to_array(figure)
