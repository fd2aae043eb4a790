"""What the pictures share: figures without pyplot's global state, grids of images, files."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ..errors import InputError, RunError

DPI = 120


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of so many inches, drawn off screen."""
    figure = Figure(figsize=(width, height), dpi=DPI, layout='constrained')
    FigureCanvasAgg(figure)
    return figure


def figure_to_array(figure: Figure) -> np.ndarray:
    """Draw a figure.

    Returns:
        np.ndarray: uint8 RGB of shape (H, W, 3).
    """
    figure.canvas.draw()
    return np.asarray(figure.canvas.buffer_rgba())[..., :3].copy()


def grid_axes(
    figure: Figure, row_titles: Sequence[str], column_titles: Sequence[str]
) -> np.ndarray:
    """Axes for a grid of pictures, titled above the columns and beside the rows.

    Args:
        figure (Figure): Where to put them.
        row_titles (Sequence[str]): R titles, drawn left of the rows.
        column_titles (Sequence[str]): C titles, drawn above the columns.

    Returns:
        np.ndarray: Axes of shape (R, C), without ticks and frames.
    """
    axes = figure.subplots(len(row_titles), len(column_titles), squeeze=False)
    for axis in axes.flat:
        axis.set_xticks([])
        axis.set_yticks([])
        for spine in axis.spines.values():
            spine.set_visible(False)
    for axis, title in zip(axes[0], column_titles, strict=True):
        axis.set_title(title, fontsize=11)
    for axis, title in zip(axes[:, 0], row_titles, strict=True):
        axis.set_ylabel(title, fontsize=10)
    return axes


def show_image(axis: Axes, image: np.ndarray) -> None:
    """Show an image, uint8 RGB of shape (H, W, 3), with its pixels as they are."""
    axis.imshow(image, interpolation='nearest', aspect='equal')


def write_picture(path: str | os.PathLike, picture: np.ndarray) -> None:
    """Write a picture; its folder is made if there is none.

    Args:
        path (str | PathLike): Its ending says how it is coded.
        picture (np.ndarray): uint8 RGB of shape (H, W, 3).

    Raises:
        ValueError: If the ending is not that of a picture.
        RuntimeError: If the file cannot be written.
    """
    path = Path(path)
    if not cv2.haveImageWriter(str(path)):
        raise InputError(f'{path} has no ending of a picture: name a file such as a.png.')
    path.resolve().parent.mkdir(parents=True, exist_ok=True)
    if not cv2.imwrite(str(path), picture[..., ::-1]):
        raise RunError(f'The picture {path} cannot be written: look at its rights and the room.')
