"""What patch tokens hold, without labels (arXiv 2308.11448, figure 6)."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from matplotlib import colormaps

from .figures import figure_to_array, grid_axes, new_figure, show_image


def cluster_picture(image: np.ndarray, clusters: np.ndarray) -> np.ndarray:
    """Lay the clusters of patches over an image as colours.

    Args:
        image (np.ndarray): uint8 RGB of shape (H, W, 3).
        clusters (np.ndarray): int (h, w), from 0, over the whole image.

    Returns:
        np.ndarray: uint8 RGB of shape (H, W, 3).
    """
    palette = np.array(colormaps['tab10'].colors) * 255
    coloured = palette[np.asarray(clusters) % len(palette)]
    coloured = cv2.resize(coloured, image.shape[1::-1], interpolation=cv2.INTER_NEAREST)
    grey = image.mean(2, keepdims=True)
    return (0.55 * coloured + 0.45 * grey).round().astype(np.uint8)


def patch_panel(
    images: Sequence[np.ndarray],
    clusters: Sequence[np.ndarray],
    colours: Sequence[np.ndarray],
    title: str = '',
) -> np.ndarray:
    """A row for each image: itself, its k-means clusters, and its principal components as RGB.

    Args:
        images (Sequence[np.ndarray]): uint8 RGB of shape (H, W, 3) each.
        clusters (Sequence[np.ndarray]): int (h, w) each, from 0.
        colours (Sequence[np.ndarray]): float (h, w, 3) each, in [0, 1].
        title (str): Above all.

    Returns:
        np.ndarray: uint8 RGB of shape (H', W', 3).
    """
    number = max(int(each.max()) for each in clusters) + 1
    figure = new_figure(7.6, 1.95 * len(images) + 0.7)
    figure.get_layout_engine().set(w_pad=0.03, h_pad=0.03, wspace=0, hspace=0)
    if title:
        figure.suptitle(title, fontsize=12)
    axes = grid_axes(figure, [''] * len(images), ['image', f'k-means, k = {number}', 'PCA as RGB'])
    for row, image, labels, rgb in zip(axes, images, clusters, colours, strict=True):
        show_image(row[0], image)
        show_image(row[1], cluster_picture(image, labels))
        pixels = (255 * np.asarray(rgb)).round().astype(np.uint8)
        show_image(row[2], cv2.resize(pixels, image.shape[1::-1], interpolation=cv2.INTER_NEAREST))
    return figure_to_array(figure)
