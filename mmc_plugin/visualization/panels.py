"""Pictures of a reconstruction."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .figures import figure_to_array, grid_axes, new_figure, show_image


def reconstruction_panel(
    clean: np.ndarray,
    corrupted: np.ndarray,
    reconstructed: np.ndarray,
    mask: np.ndarray,
    row_titles: Sequence[str] | None = None,
    title: str = '',
) -> np.ndarray:
    """A row for each image: clean, corrupted, reconstructed, and that pasted into the clean one.

    Args:
        clean (np.ndarray): uint8 RGB of shape (B, H, W, 3).
        corrupted (np.ndarray): The same, as the model saw it.
        reconstructed (np.ndarray): The same, as the model gave it back.
        mask (np.ndarray): bool of shape (B, H, W), True = corrupted.
        row_titles (Sequence[str], optional): What to write beside each image; by default the
            share that is corrupted.
        title (str): Above all.

    Returns:
        np.ndarray: uint8 RGB of shape (H', W', 3).
    """
    if row_titles is None:
        row_titles = [f'{100 * each.mean():.0f} % corrupted' for each in mask]
    pasted = np.where(mask[..., None], reconstructed, clean)
    figure = new_figure(7.6, 1.9 * len(clean) + 0.7)
    if title:
        figure.suptitle(title, fontsize=12)
    axes = grid_axes(figure, row_titles, ['clean', 'corrupted', 'reconstructed', 'pasted in'])
    for row, images in zip(
        axes, zip(clean, corrupted, reconstructed, pasted, strict=True), strict=True
    ):
        for axis, image in zip(row, images, strict=True):
            show_image(axis, image)
    return figure_to_array(figure)
