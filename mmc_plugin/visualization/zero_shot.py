"""Pictures of one-click segmentation (arXiv 2308.11448, figures 1, 2 and 5)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from .figures import figure_to_array, grid_axes, new_figure, show_image

_CLICK = '#00e5ff'
_NEGATIVE_CLICK = '#ff4d4d'
_TRUE, _PREDICTED = 'white', '#00e676'


@dataclass
class Click:
    """An image, where it was clicked and what came of it.

    Attributes:
        image: uint8 RGB (H, W, 3).
        points: (P, 2) clicks (x, y) in pixels.
        similarity: float (H, W).
        mask: bool (H, W), predicted.
        target: bool (H, W), what was meant, if it is known.
        labels: P numbers, 1 for a click on the object, 0 beside it.
        caption: Written below.
    """

    image: np.ndarray
    points: np.ndarray
    similarity: np.ndarray
    mask: np.ndarray
    target: np.ndarray | None = None
    labels: Sequence[int] | None = None
    caption: str = ''


def _draw_outline(axis: Axes, mask: np.ndarray, colour: str) -> None:
    """Draw a mask's border, dark below so that it shows on any ground."""
    framed = np.pad(mask.astype(float), 1)  # so that borders at the image's edge close
    place = np.arange(-1, mask.shape[1] + 1), np.arange(-1, mask.shape[0] + 1)
    if mask.any():
        axis.contour(*place, framed, levels=[0.5], colors='black', linewidths=2.2)
        axis.contour(*place, framed, levels=[0.5], colors=colour, linewidths=1.1)


def _draw_clicks(axis: Axes, click: Click) -> None:
    labels = [1] * len(click.points) if click.labels is None else click.labels
    for (x, y), label in zip(click.points, labels, strict=True):
        axis.plot(
            x,
            y,
            marker='o' if label else 'X',
            markersize=8,
            markeredgecolor='black',
            markeredgewidth=1.2,
            markerfacecolor=_CLICK if label else _NEGATIVE_CLICK,
        )


def _limit_to_image(axis: Axes, image: np.ndarray) -> None:
    axis.set_xlim(-0.5, image.shape[1] - 0.5)
    axis.set_ylim(image.shape[0] - 0.5, -0.5)


def show_click(axis: Axes, click: Click) -> None:
    """The image with its clicks, and the outline of what was meant."""
    show_image(axis, click.image)
    if click.target is not None:
        _draw_outline(axis, click.target, _TRUE)
    _draw_clicks(axis, click)
    _limit_to_image(axis, click.image)


def show_map(axis: Axes, click: Click, bar: bool = False) -> None:
    """The similarity over the greyed image, and the outline of the prediction.

    Args:
        axis (Axes): Where to draw.
        click (Click): What to draw.
        bar (bool): Whether to draw a bar of the colours beside it.
    """
    grey = np.repeat(click.image.mean(2, keepdims=True), 3, 2).astype(np.uint8)
    show_image(axis, grey)
    shown = axis.imshow(click.similarity, cmap='turbo', alpha=0.65)
    if bar:
        bar = axis.figure.colorbar(shown, ax=axis, shrink=0.75, pad=0.02, format='%.2f')
        bar.ax.tick_params(labelsize=7)
    _draw_outline(axis, click.mask, _PREDICTED)
    _draw_clicks(axis, click)
    _limit_to_image(axis, click.image)


def click_panel(clicks: Sequence[Click], title: str = '') -> np.ndarray:
    """A row for each image: the clicks, the similarity map, and what was cut out, on grey.

    Args:
        clicks (Sequence[Click]): At least one.
        title (str): Above all.

    Returns:
        np.ndarray: uint8 RGB of shape (H', W', 3).
    """
    heights = [3 * each.image.shape[0] / each.image.shape[1] for each in clicks]
    figure = new_figure(9.6, sum(heights) + 0.3 * len(clicks) + 0.6)
    if title:
        figure.suptitle(title, fontsize=12)
    axes = grid_axes(figure, [''] * len(clicks), ['click', 'similarity', 'mask'])
    for row, click in zip(axes, clicks, strict=True):
        show_click(row[0], click)
        show_map(row[1], click, bar=True)
        show_image(row[2], np.where(click.mask[..., None], click.image, 235).astype(np.uint8))
        row[1].set_xlabel(click.caption, fontsize=9, labelpad=3)
    return figure_to_array(figure)


def case_sheet(groups: Mapping[str, Sequence[Click]], title: str = '') -> np.ndarray:
    """Cases in groups, such as the best, the median and the worst.

    Each case has its image with the click and the true outline (white) above, and its similarity
    map with the outline of the prediction (green) below.

    Args:
        groups (Mapping[str, Sequence[Click]]): At least one case in all.
        title (str): Above all.

    Returns:
        np.ndarray: uint8 RGB of shape (H', W', 3).
    """
    columns = max(map(len, groups.values()))
    rows = [words for name in groups for words in (name, 'similarity')]
    figure = new_figure(2.5 * columns + 0.5, 1.95 * len(rows) + 0.7)
    figure.get_layout_engine().set(w_pad=0.03, h_pad=0.03, wspace=0, hspace=0)
    if title:
        figure.suptitle(title, fontsize=12)
    axes = grid_axes(figure, rows, [''] * columns)
    for number, clicks in enumerate(groups.values()):
        for above, below, click in zip(*axes[2 * number : 2 * number + 2], clicks, strict=False):
            show_click(above, click)
            show_map(below, click)
            below.set_xlabel(click.caption, fontsize=9, labelpad=2)
        for axis in axes[2 * number : 2 * number + 2, len(clicks) :].flat:
            axis.set_visible(False)
    return figure_to_array(figure)


def threshold_curves(runs: Mapping[str, Mapping[str, Any]]) -> np.ndarray:
    """mIoU over the threshold, with its deviation over repeats and the level of everything.

    Args:
        runs (Mapping[str, Mapping]): For each name the numbers of :class:`PromptIoU`.

    Returns:
        np.ndarray: uint8 RGB of shape (H', W', 3).
    """
    figure = new_figure(7, 4.4)
    axis = figure.subplots()
    for number, (name, numbers) in enumerate(runs.items()):
        place, curve = np.array(numbers['thresholds']), 100 * np.array(numbers['curve'])
        deviation = 100 * np.array(numbers['deviation'])
        best = int(curve.argmax())
        colour = f'C{number}'
        axis.plot(
            place,
            curve,
            color=colour,
            marker='.',
            label=f'{name}: best {curve[best]:.1f} at {place[best]:g}',
        )
        axis.fill_between(
            place, curve - deviation, curve + deviation, color=colour, alpha=0.2, linewidth=0
        )
    levels = dict.fromkeys(round(100 * numbers['everything'], 1) for numbers in runs.values())
    for level in levels:
        axis.axhline(
            level,
            color='grey',
            linestyle='--',
            linewidth=1,
            label=f'predicting everything: {level:.1f}',
        )
    axis.set_xlabel('threshold on the cosine')
    axis.set_ylabel('mIoU, %')
    axis.set_ylim(bottom=0)
    axis.grid(alpha=0.3)
    axis.legend(fontsize=8, frameon=False)
    return figure_to_array(figure)


def similarity_histograms(runs: Mapping[str, Mapping[str, Any]]) -> np.ndarray:
    """The distributions of cosines within and between categories, one plot for each run.

    Args:
        runs (Mapping[str, Mapping]): For each name the numbers of :class:`SimilarityOverlap`.

    Returns:
        np.ndarray: uint8 RGB of shape (H', W', 3).
    """
    columns = 2 if len(runs) == 4 else min(3, len(runs))
    rows = -(-len(runs) // columns)
    figure = new_figure(4.4 * columns, 3.2 * rows)
    axes = figure.subplots(rows, columns, squeeze=False)
    for axis, (name, numbers) in zip(axes.flat, runs.items(), strict=False):
        edges = np.array(numbers['edges'])
        width = edges[1] - edges[0]
        for key, colour, mean in (
            ('intra', 'C0', numbers['intra']),
            ('inter', 'C1', numbers['inter']),
        ):
            share = np.array(
                [np.nan if each is None else each for each in numbers['histograms'][key]]
            )
            shown = 'no pairs' if mean is None or not np.isfinite(mean) else f'mean {mean:.2f}'
            axis.stairs(
                share / width, edges, fill=True, alpha=0.45, color=colour, label=f'{key}, {shown}'
            )
        overlap = numbers['overlap']
        known = overlap is not None and np.isfinite(overlap)
        axis.set_title(f'{name}: overlap {overlap:.2f}' if known else name, fontsize=10)
        axis.set_xlabel('cosine', fontsize=9)
        axis.set_ylabel('density', fontsize=9)
        axis.legend(fontsize=8, frameon=False)
        axis.tick_params(labelsize=8)
    for axis in list(axes.flat)[len(runs) :]:
        axis.set_visible(False)
    return figure_to_array(figure)
