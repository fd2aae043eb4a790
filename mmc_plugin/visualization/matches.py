"""Pictures of what is found in images: a click in others, objects without a click."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.patches import ConnectionPatch, Rectangle

from .figures import figure_to_array, grid_axes, new_figure, show_image
from .zero_shot import Click, draw_outline, show_click, show_map

_COLUMNS = 4


def found_panel(query: Click, found: Sequence[Click], title: str = '') -> np.ndarray:
    """A clicked image and the maps of others, their best point ringed, with the same colours.

    Args:
        query (Click): Only its image and points are drawn.
        found (Sequence[Click]): At least one; their captions are written below.
        title (str): Above all.

    Returns:
        np.ndarray: uint8 RGB of shape (H', W', 3).
    """
    number = len(found) + 1
    columns = min(_COLUMNS, number)
    rows = -(-number // columns)
    figure = new_figure(2.7 * columns + 0.6, 1.95 * rows + 0.35)
    if title:
        figure.suptitle(title, fontsize=12)
    axes = grid_axes(figure, [''] * rows, [''] * columns)
    limits = tuple(
        end(getattr(each.similarity, end.__name__)() for each in found) for end in (min, max)
    )
    show_click(axes.flat[0], query)
    axes.flat[0].set_xlabel(query.caption, fontsize=9)
    for axis, each in zip(axes.flat[1:], found, strict=False):
        shown = show_map(axis, each, limits)
        axis.set_xlabel(each.caption, fontsize=9)
    for axis in axes.flat[number:]:
        axis.set_visible(False)
    bar = figure.colorbar(shown, ax=axes, shrink=0.7, pad=0.01, format='%.2f')
    bar.set_label('cosine to the clicked patch', fontsize=8)
    bar.ax.tick_params(labelsize=7)
    return figure_to_array(figure)


def match_panel(
    images: Sequence[np.ndarray], points: Sequence[np.ndarray], title: str = ''
) -> np.ndarray:
    """Two images, and a line from each patch to its match.

    Args:
        images (Sequence[np.ndarray]): Two of uint8 RGB (H, W, 3).
        points (Sequence[np.ndarray]): Two of (K, 2) points (x, y), in pixels of each.
        title (str): Above both.

    Returns:
        np.ndarray: uint8 RGB of shape (H', W', 3).
    """
    figure = new_figure(9.6, 3.7)
    if title:
        figure.suptitle(title, fontsize=12)
    axes = grid_axes(figure, [''], ['', ''])[0]
    for axis, image in zip(axes, images, strict=True):
        show_image(axis, image)
    # Colours go from the left to the right of the first image.
    places = points[0][:, 0].argsort().argsort() / max(1, len(points[0]) - 1)
    for one, other, place in zip(*points, places, strict=True):
        colour = colormaps['hsv'](0.9 * place)
        for axis, point in zip(axes, (one, other), strict=True):
            axis.plot(*point, marker='o', markersize=4, color=colour, markeredgecolor='black')
        line = ConnectionPatch(
            one, other, 'data', 'data', axesA=axes[0], axesB=axes[1], color=colour, linewidth=0.9
        )
        figure.add_artist(line)
    return figure_to_array(figure)


def parts_panel(
    squares: Sequence[np.ndarray],
    boxes: Sequence[tuple[float, float, float, float]],
    captions: Sequence[str],
    title: str = '',
) -> np.ndarray:
    """Images with the box of a part in each, and what the box shows below.

    Args:
        squares (Sequence[np.ndarray]): uint8 RGB (H, W, 3), the first with the part that was
            looked for.
        boxes (Sequence[tuple]): For each (left, top, right, bottom), in pixels.
        captions (Sequence[str]): For each what is written below.
        title (str): Above all.

    Returns:
        np.ndarray: uint8 RGB of shape (H', W', 3).
    """
    figure = new_figure(1.5 * len(squares), 3.4)
    if title:
        figure.suptitle(title, fontsize=12)
    axes = grid_axes(figure, ['', ''], [''] * len(squares))
    for above, below, square, box, caption in zip(*axes, squares, boxes, captions, strict=True):
        show_image(above, square)
        left, top, right, bottom = box
        place = (left - 0.5, top - 0.5), right - left, bottom - top
        for colour, width in (('black', 3.2), ('white', 1.3)):
            above.add_patch(Rectangle(*place, fill=False, edgecolor=colour, linewidth=width))
        show_image(below, square[round(top) : round(bottom), round(left) : round(right)])
        below.set_xlabel(caption, fontsize=9)
    return figure_to_array(figure)


def objects_panel(
    images: Sequence[np.ndarray],
    masks: Sequence[Sequence[np.ndarray]],
    boxes: Sequence[Sequence[tuple[int, int, int, int]]],
    title: str = '',
) -> np.ndarray:
    """Images with the outlines and boxes of what was found in them, in the order of finding.

    Args:
        images (Sequence[np.ndarray]): uint8 RGB (H, W, 3) each.
        masks (Sequence[Sequence[np.ndarray]]): For each image bool (H, W) masks.
        boxes (Sequence[Sequence[tuple]]): For each mask (left, top, right, bottom).
        title (str): Above all.

    Returns:
        np.ndarray: uint8 RGB of shape (H', W', 3).
    """
    columns = min(_COLUMNS, len(images))
    rows = -(-len(images) // columns)
    figure = new_figure(2.9 * columns, 2.0 * rows + 0.3)
    if title:
        figure.suptitle(title, fontsize=12)
    axes = grid_axes(figure, [''] * rows, [''] * columns)
    for axis, image, its_masks, its_boxes in zip(axes.flat, images, masks, boxes, strict=False):
        show_image(axis, image)
        for i, (mask, box) in enumerate(zip(its_masks, its_boxes, strict=True)):
            colour = colormaps['tab10'](i % 10)
            draw_outline(axis, mask, colour)
            left, top, right, bottom = box
            axis.add_patch(
                Rectangle(
                    (left - 0.5, top - 0.5), right - left, bottom - top, fill=False,
                    edgecolor=colour, linestyle='--', linewidth=1.5,
                )
            )  # fmt: skip
        axis.set_xlim(-0.5, image.shape[1] - 0.5)
        axis.set_ylim(image.shape[0] - 0.5, -0.5)
    for axis in axes.flat[len(images) :]:
        axis.set_visible(False)
    return figure_to_array(figure)
