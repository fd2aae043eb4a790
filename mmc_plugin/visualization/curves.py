"""Curves of one or several runs."""
from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from .figures import figure_to_array, new_figure
from .run_log import series

_TITLES = dict(
    loss='total loss', loss_rec='reconstruction loss (L1)', loss_patch='patch loss (InfoNCE)',
    loss_cls='class token loss (InfoNCE)', lr='learning rate', knn='k-NN accuracy, %',
    spread='feature spread (0 collapsed, 1 isotropic)', effective_rank='effective rank')
_GROUPS = ('knn', 'spread', 'effective_rank')


def _plots(records: list[dict]) -> dict[str, list[str]]:
    """Which scalars share a plot: each loss has its own, features' scalars one for each kind."""
    keys = list(dict.fromkeys(key for record in records for key in record))
    losses = sorted(key for key in keys if key.startswith('loss_'))
    # The total is only worth a plot of its own where it is no sum of several.
    plots = {key: [key] for key in (losses or ['loss']) if key in keys}
    if 'lr' in keys:
        plots['lr'] = ['lr']
    for group in _GROUPS:
        members = sorted(key for key in keys if key.startswith(f'{group}/'))
        if members:
            plots[group] = members
    return plots


def training_curves(runs: Mapping[str, list[dict]]) -> np.ndarray:
    """Plot the losses apart, the learning rate and what was measured on the features.

    Args:
        runs (Mapping[str, list[dict]]): For each run's name its records of :func:`read_scalars`.

    Returns:
        np.ndarray: uint8 RGB of shape (H', W', 3).

    Raises:
        ValueError: If no run has a loss, a learning rate or a number of its features.
    """
    plots: dict[str, list[str]] = {}
    for records in runs.values():
        for name, keys in _plots(records).items():
            plots.setdefault(name, [])
            plots[name] += [key for key in keys if key not in plots[name]]
    if not plots:
        raise ValueError('There is nothing to plot: no scalar is a loss, lr or a feature number.')

    columns = min(3, len(plots))
    rows = -(-len(plots) // columns)
    figure = new_figure(4.2 * columns, 3 * rows)
    axes = figure.subplots(rows, columns, squeeze=False).flat
    # plots first: zip takes from its first argument before it finds the second one exhausted.
    for (name, keys), axis in zip(plots.items(), axes, strict=False):
        for run, records in runs.items():
            for key in keys:
                steps, values = series(records, key)
                member = key.split('/', 1)[1].replace('_', ' ') if '/' in key else ''
                label = '  '.join(each for each in (run if len(runs) > 1 else '', member) if each)
                if steps:
                    axis.plot(steps, values, linewidth=1.5, label=label,
                              marker='.' if '/' in key or len(steps) < 3 else '')
        axis.set_title(_TITLES.get(name, name), fontsize=11)
        axis.set_xlabel('iteration', fontsize=9)
        axis.xaxis.get_major_locator().set_params(integer=True)
        axis.tick_params(labelsize=8)
        axis.grid(alpha=.3)
        if axis.get_legend_handles_labels()[0]:
            axis.legend(fontsize=7, frameon=False)
    for axis in list(axes):
        axis.set_visible(False)
    return figure_to_array(figure)
