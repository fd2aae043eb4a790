"""Pictures of part retrieval (arXiv 2301.11915)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from .figures import figure_to_array, new_figure

_TITLES = dict(
    cls='class token', pat='mean of the patch tokens', projected='projection of the class token'
)


def retrieval_curves(runs: Mapping[str, Mapping[str, Any]]) -> np.ndarray:
    """Precision over recall by kind of feature, one line for each run, and the level of chance.

    Args:
        runs (Mapping[str, Mapping]): For each name the numbers of :class:`PartRetrieval`.

    Returns:
        np.ndarray: uint8 RGB of shape (H', W', 3).
    """
    titles = {kind: title for kind, title in _TITLES.items()
              if any(kind in numbers['kinds'] for numbers in runs.values())}  # fmt: skip
    figure = new_figure(4.8 * len(titles), 4)
    axes = figure.subplots(1, len(titles), sharey=True)
    # A query of a part finds by chance the share of it; parts weigh as their queries do.
    levels = {round(100 * sum(p**2 for p in numbers['share'].values()), 1)
              for numbers in runs.values()}  # fmt: skip
    for axis, (kind, title) in zip(axes, titles.items(), strict=True):
        for name, numbers in runs.items():
            found = numbers['kinds'].get(kind)
            if found is None:  # a checkpoint without a head
                continue
            axis.plot(
                100 * np.array(numbers['recalls']), 100 * np.array(found['precision']),
                marker='.', label=f'{name}: AP {100 * found["map"]:.1f}',
            )  # fmt: skip
        for level in sorted(levels):
            axis.axhline(level, color='grey', linestyle='--', linewidth=1,
                         label=f'chance: {level:.1f}')  # fmt: skip
        axis.set_title(title, fontsize=11)
        axis.set_xlabel('recall, %')
        axis.set_ylim(0, 100)
        axis.grid(alpha=0.3)
        axis.legend(fontsize=8, frameon=False)
    axes[0].set_ylabel('precision, %')
    return figure_to_array(figure)
