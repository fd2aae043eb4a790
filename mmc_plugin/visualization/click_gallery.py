"""Clicks in several networks on a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np

from . import page
from .similarity_map import SCALE, SCALE_WORDS, click_overlay, cosine_range, scale_colours

FOLDER = 'clicks'


def write_click_gallery(
    folder: Path,
    images: Sequence[np.ndarray],
    points: Sequence[tuple[float, float]],
    maps: Mapping[str, Sequence[np.ndarray]],
) -> str:
    """Write the pictures of :func:`click_overlay`, one file each, and the HTML that shows them.

    Args:
        folder (Path): Of the page; the pictures go to its folder ``clicks``.
        images (Sequence[np.ndarray]): uint8 RGB of shape (H, W, 3) each.
        points (Sequence[tuple[float, float]]): Clicked points (x, y) in pixels.
        maps (Mapping[str, Sequence[np.ndarray]]): For each network, such as 'before training', the
            cosine to the clicked patch of each image, float of shape (h, w).

    Returns:
        str: HTML: for each image a row of pictures, the colours at the end.
    """
    (folder / FOLDER).mkdir(exist_ok=True)
    rows = []
    for number, (image, point, *found) in enumerate(
        zip(images, points, *maps.values(), strict=True), start=1
    ):
        cells = [('the clicked patch', '', click_overlay(image, point))]
        for words, similarity in zip(maps, found, strict=True):
            overlay = click_overlay(image, point, similarity)
            cells.append((words, cosine_range(similarity), overlay))
        pictures = []
        for column, (words, more, picture) in enumerate(cells):
            name = f'{FOLDER}/{number}_{column}.jpg'
            cv2.imwrite(str(folder / name), picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 92])
            pictures.append((name, words, more))
        rows.append(page.gallery(pictures))
    low, high = (f'{each:+g}' for each in SCALE)
    return '\n'.join([*rows, page.colour_bar(scale_colours(), low, SCALE_WORDS, high)])
