"""How similar all patches of an image are to one that was clicked (arXiv 2308.11448, figure 1)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import cv2
import numpy as np
from matplotlib.axes import Axes

from .figures import figure_to_array, grid_axes, new_figure, show_image


def resize_map(similarity: np.ndarray, height: int, width: int) -> np.ndarray:
    """Bring a map of patches (h, w) to the size of its image (height, width), bilinearly."""
    return cv2.resize(
        np.asarray(similarity, np.float32), (width, height), interpolation=cv2.INTER_LINEAR
    )


def similarity_panel(
    images: Sequence[np.ndarray],
    points: Sequence[tuple[float, float]],
    maps: Mapping[str, Sequence[np.ndarray]],
    title: str = '',
) -> np.ndarray:
    """A row for each image: the image with its click, then one heat map for each state.

    The colours of a map go from its lowest cosine to its highest, since the range of the cosines
    changes with training more than their order; the map lies over the greyed image.

    Args:
        images (Sequence[np.ndarray]): uint8 RGB of shape (H, W, 3) each.
        points (Sequence[tuple[float, float]]): Clicked points (x, y) in pixels.
        maps (Mapping[str, Sequence[np.ndarray]]): For each state, such as 'before training', the
            cosine to the clicked patch of each image, float of shape (h, w).
        title (str): Above all.

    Returns:
        np.ndarray: uint8 RGB of shape (H', W', 3).
    """
    figure = new_figure(2.4 + 2.8 * len(maps), 2.3 * len(images) + 0.7)
    if title:
        figure.suptitle(title, fontsize=12)
    axes = grid_axes(figure, [''] * len(images), ['clicked patch', *maps])
    for row, image, point, each in zip(
        axes, images, points, zip(*maps.values(), strict=True), strict=True
    ):
        show_similarity(row, image, point, each)
    return figure_to_array(figure)


def show_similarity(
    row: Sequence[Axes], image: np.ndarray, point: tuple[float, float], maps: Sequence[np.ndarray]
) -> None:
    """Fill a row of axes, one more than maps, with an image, its click and its maps.

    Args:
        row (Sequence[Axes]): Axes for the image and for each map.
        image (np.ndarray): uint8 RGB of shape (H, W, 3).
        point (tuple[float, float]): The click (x, y) in pixels.
        maps (Sequence[np.ndarray]): Cosines of shape (h, w).
    """
    height, width = image.shape[:2]
    show_image(row[0], image)
    grey = np.repeat(image.mean(2, keepdims=True), 3, 2).astype(np.uint8)
    for axis, values in zip(row[1:], maps, strict=True):
        show_image(axis, grey)
        shown = axis.imshow(
            resize_map(values, height, width),
            cmap='turbo',
            alpha=0.65,
            vmin=float(values.min()),
            vmax=float(values.max()),
        )
        bar = axis.figure.colorbar(shown, ax=axis, shrink=0.8, pad=0.02, format='%.2f')
        bar.ax.tick_params(labelsize=7)
    for axis in row:
        for colour, edge in (('black', 3.5), ('white', 1.5)):
            axis.plot(
                *point,
                marker='o',
                markersize=9,
                markerfacecolor='none',
                markeredgecolor=colour,
                markeredgewidth=edge,
            )
