"""Pictures of one-click segmentation (arXiv 2308.11448, figures 1, 2 and 5)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable

from .figures import figure_to_array, grid_axes, new_figure, show_image

_CLICK = 'white'
_NEGATIVE_CLICK = '#ff4d4d'
_MARKER = 16  # points, of the ring about a click
_CHECKERS = (205, 245)  # greys
_SHOWN_SHARE = 0.005  # of the pairs on each side may lie outside a histogram
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


def draw_outline(axis: Axes, mask: np.ndarray, colour: str) -> None:
    """Draw a mask's border, dark below so that it shows on any ground."""
    framed = np.pad(mask.astype(float), 1)  # so that borders at the image's edge close
    place = np.arange(-1, mask.shape[1] + 1), np.arange(-1, mask.shape[0] + 1)
    if mask.any():
        axis.contour(*place, framed, levels=[0.5], colors='black', linewidths=2.2)
        axis.contour(*place, framed, levels=[0.5], colors=colour, linewidths=1.1)


def _draw_clicks(axis: Axes, click: Click) -> None:
    """A ring about each click, a square about one beside the object; what is inside shows."""
    labels = [1] * len(click.points) if click.labels is None else click.labels
    for (x, y), label in zip(click.points, labels, strict=True):
        for colour, width in (('black', 3.2), (_CLICK if label else _NEGATIVE_CLICK, 1.3)):
            axis.plot(
                x,
                y,
                marker='o' if label else 's',
                markersize=_MARKER,
                markeredgecolor=colour,
                markeredgewidth=width,
                markerfacecolor='none',
            )


def cut_out(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """What a mask selects, on a checkerboard.

    Args:
        image (np.ndarray): uint8 RGB of shape (H, W, 3).
        mask (np.ndarray): bool (H, W).

    Returns:
        np.ndarray: uint8 RGB of shape (H, W, 3).
    """
    side = max(1, round(min(mask.shape) / 24))
    rows, columns = (np.arange(each) // side % 2 for each in mask.shape)
    board = np.array(_CHECKERS, np.uint8)[rows[:, None] ^ columns]
    return np.where(mask[..., None], image, board[..., None]).astype(np.uint8)


def _limit_to_image(axis: Axes, image: np.ndarray) -> None:
    axis.set_xlim(-0.5, image.shape[1] - 0.5)
    axis.set_ylim(image.shape[0] - 0.5, -0.5)


def show_click(axis: Axes, click: Click) -> None:
    """The image with its clicks, and the outline of what was meant."""
    show_image(axis, click.image)
    if click.target is not None:
        draw_outline(axis, click.target, _TRUE)
    _draw_clicks(axis, click)
    _limit_to_image(axis, click.image)


def show_map(axis: Axes, click: Click, limits: tuple[float, float] | None = None) -> ScalarMappable:
    """The similarity over the greyed image, and the outline of the prediction.

    Args:
        axis (Axes): Where to draw.
        click (Click): What to draw.
        limits (tuple[float, float], optional): Cosines at the ends of the colours; by default the
            lowest and the highest of the map.

    Returns:
        ScalarMappable: The map, for a bar of its colours.
    """
    grey = np.repeat(click.image.mean(2, keepdims=True), 3, 2).astype(np.uint8)
    show_image(axis, grey)
    low, high = limits or (None, None)
    shown = axis.imshow(click.similarity, cmap='turbo', alpha=0.65, vmin=low, vmax=high)
    draw_outline(axis, click.mask, _PREDICTED)
    _draw_clicks(axis, click)
    _limit_to_image(axis, click.image)
    return shown


def click_panel(clicks: Sequence[Click], title: str = '') -> np.ndarray:
    """A row for each image: clicks, similarity map with its colours, cut-out on a checkerboard.

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
        bar = figure.colorbar(
            show_map(row[1], click), ax=row[1], shrink=0.75, pad=0.02, format='%.2f'
        )
        bar.ax.tick_params(labelsize=7)
        show_image(row[2], cut_out(click.image, click.mask))
        row[1].set_xlabel(click.caption, fontsize=9, labelpad=3)
    return figure_to_array(figure)


def case_sheet(groups: Mapping[str, Sequence[Click]], title: str = '') -> np.ndarray:
    """Cases in groups, such as the best, the median and the worst.

    Each case has its image with the click and the true outline (white) above, and its similarity
    map with the outline of the prediction (green) below. The colours are the same in all maps.

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
    maps = [click.similarity for clicks in groups.values() for click in clicks]
    limits = min(each.min() for each in maps), max(each.max() for each in maps)
    for number, clicks in enumerate(groups.values()):
        for above, below, click in zip(*axes[2 * number : 2 * number + 2], clicks, strict=False):
            show_click(above, click)
            shown = show_map(below, click, limits)
            below.set_xlabel(click.caption, fontsize=9, labelpad=2)
        for axis in axes[2 * number : 2 * number + 2, len(clicks) :].flat:
            axis.set_visible(False)
    bar = figure.colorbar(
        shown, ax=axes, location='bottom', shrink=0.5, aspect=40, pad=0.02, format='%.2f'
    )
    bar.set_label('cosine to the clicked patch', fontsize=9)
    bar.ax.tick_params(labelsize=8)
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

    A plot shows the cosines between which nearly all pairs lie. A peak far above the rest is cut
    off, and its height written beside it.

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
        densities = []
        for key, colour, mean in (
            ('intra', 'C0', numbers['intra']),
            ('inter', 'C1', numbers['inter']),
        ):
            share = np.array(
                [np.nan if each is None else each for each in numbers['histograms'][key]]
            )
            densities.append(share / width)
            shown = 'no pairs' if mean is None or not np.isfinite(mean) else f'mean {mean:.2f}'
            axis.stairs(
                share / width, edges, fill=True, alpha=0.45, color=colour, label=f'{key}, {shown}'
            )
        _zoom(axis, edges, np.nan_to_num(np.array(densities)))
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


def _zoom(axis: Axes, edges: np.ndarray, densities: np.ndarray) -> None:
    """Limit a plot of histograms (2, bins) to where their mass is."""
    share = densities.sum(0)
    if not share.any():
        return
    summed = np.cumsum(share) / share.sum()
    low = int(np.searchsorted(summed, _SHOWN_SHARE))
    high = int(np.searchsorted(summed, 1 - _SHOWN_SHARE))
    margin = 0.03 * (edges[high + 1] - edges[low])
    axis.set_xlim(edges[low] - margin, edges[high + 1] + margin)
    heights = densities[:, low : high + 1]
    top, usual = heights.max(), 2 * np.quantile(heights.max(0), 0.9)
    if top > 1.3 * usual > 0:
        place = edges[low + int(heights.max(0).argmax())]
        axis.set_ylim(0, usual)
        axis.annotate(
            f'to {top:.3g}', (place, usual), (-4 if place > 0 else 4, -10),
            textcoords='offset points', ha='right' if place > 0 else 'left', fontsize=8,
        )  # fmt: skip
