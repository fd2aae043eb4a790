"""Pictures of reconstructions from several layers (arXiv 2308.11448, figure 9)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .figures import figure_to_array, grid_axes, new_figure, show_image

_CELL = 1.75  # inches


def amplification(differences: np.ndarray) -> float:
    """A round factor (1, 2 or 5 times a power of ten, at least 1) that makes differences visible.

    Args:
        differences (np.ndarray): Differences of pixels in units of the range 0 … 1, any shape.

    Returns:
        float: The largest such factor that leaves 99 % of the absolute values within 1.
    """
    bound = float(np.quantile(np.abs(differences), 0.99)) if differences.size else 1.0
    factor = 1.0
    for power in range(6):
        for step in (1, 2, 5):
            if step * 10**power * bound <= 1:
                factor = float(step * 10**power)
    return factor


def layer_panel(
    clean: np.ndarray,
    corrupted: np.ndarray,
    reconstructed: np.ndarray,
    differences: np.ndarray,
    layers: Sequence[int],
    factor: float,
    names: Sequence[str],
    title: str = '',
) -> np.ndarray:
    """Two rows for each image: its reconstructions, and what changes from layer to layer.

    With one layer there is only the first.

    Args:
        clean (np.ndarray): uint8 RGB of shape (B, H, W, 3).
        corrupted (np.ndarray): The same, as the model saw it.
        reconstructed (np.ndarray): uint8 RGB of shape (L, B, H, W, 3).
        differences (np.ndarray): float of shape (L - 1, B, H, W, 3): each layer less the one
            before it, in units of the range 0 … 1.
        layers (Sequence[int]): Numbers of the L layers.
        factor (float): What the differences are multiplied by; grey stands for none.
        names (Sequence[str]): Of the B images.
        title (str): Above all.

    Returns:
        np.ndarray: uint8 RGB of shape (H', W', 3).
    """
    columns = ['clean', 'corrupted', *(f'layer {layer}' for layer in layers)]
    step = 2 if len(layers) > 1 else 1  # rows of an image
    rows = [name if row == 0 else '' for name in names for row in range(step)]
    figure = new_figure(_CELL * len(columns) + 0.5, (_CELL + 0.16) * len(rows) + 0.7)
    figure.get_layout_engine().set(w_pad=0.03, h_pad=0.03, wspace=0, hspace=0)
    if title:
        figure.suptitle(title, fontsize=12)
    axes = grid_axes(figure, rows, columns)
    for i in range(len(names)):
        above = axes[step * i]
        for axis, image in zip(above, (clean[i], corrupted[i], *reconstructed[:, i]), strict=True):
            show_image(axis, image)
        for number, below in enumerate(axes[step * i + 1 : step * (i + 1)].flat):
            first = number - 3  # below the second layer stands the first difference
            below.set_visible(first >= 0)
            if first >= 0:
                change = 127.5 + 127.5 * factor * differences[first, i]
                show_image(below, change.round().clip(0, 255).astype(np.uint8))
                below.set_xlabel(f'{layers[first + 1]} − {layers[first]}', fontsize=9, labelpad=2)
            if first == 0:
                below.set_ylabel(f'difference × {factor:g}', fontsize=10)
    return figure_to_array(figure)
