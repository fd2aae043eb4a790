"""How similar all patches of an image are to one that was clicked (arXiv 2308.11448, figure 1)."""
from __future__ import annotations

from collections.abc import Mapping, Sequence

import cv2
import numpy as np

from .figures import figure_to_array, grid_axes, new_figure, show_image


def resize_map(similarity: np.ndarray, height: int, width: int) -> np.ndarray:
    """Bring a map of patches (h, w) to the size of its image (height, width), bilinearly."""
    return cv2.resize(
        np.asarray(similarity, np.float32), (width, height), interpolation=cv2.INTER_LINEAR)


def similarity_panel(images: Sequence[np.ndarray],
                     points: Sequence[tuple[float, float]],
                     maps: Mapping[str, Sequence[np.ndarray]],
                     title: str = '') -> np.ndarray:
    """A row for each image: the image with its click, then one heat map for each state.

    The maps of one image share their colours, from their lowest cosine to 1, and lie over the
    greyed image.

    Args:
        images (Sequence[np.ndarray]): uint8 RGB of shape (H, W, 3) each.
        points (Sequence[tuple[float, float]]): Clicked points (x, y) in pixels.
        maps (Mapping[str, Sequence[np.ndarray]]): For each state, such as 'before training', the
            cosine to the clicked patch of each image, float of shape (h, w).
        title (str): Above all.

    Returns:
        np.ndarray: uint8 RGB of shape (H', W', 3).
    """
    figure = new_figure(2.4 * (1 + len(maps)) + .8, 2.3 * len(images) + .7)
    if title:
        figure.suptitle(title, fontsize=12)
    axes = grid_axes(figure, [''] * len(images), ['clicked patch', *maps])
    for row, image, (x, y), each in zip(axes, images, points, zip(*maps.values(), strict=True),
                                        strict=True):
        height, width = image.shape[:2]
        show_image(row[0], image)
        lowest = min(float(values.min()) for values in each)
        grey = np.repeat(image.mean(2, keepdims=True), 3, 2).astype(np.uint8)
        for axis, values in zip(row[1:], each, strict=True):
            show_image(axis, grey)
            shown = axis.imshow(
                resize_map(values, height, width), cmap='turbo', alpha=.65, vmin=lowest, vmax=1)
        for axis in row:
            axis.plot(x, y, marker='o', markersize=9, markerfacecolor='none',
                      markeredgecolor='black', markeredgewidth=3.5)
            axis.plot(x, y, marker='o', markersize=9, markerfacecolor='none',
                      markeredgecolor='white', markeredgewidth=1.5)
        figure.colorbar(shown, ax=list(row), shrink=.9, pad=.02, label='cosine')
    return figure_to_array(figure)
