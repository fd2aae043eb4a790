"""How similar all patches of an image are to one that was clicked (arXiv 2308.11448, figure 1)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import cv2
import numpy as np
import torch
from matplotlib import colormaps
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize

from ..evaluation.functional.prompt_masks import otsu_threshold
from .figures import figure_to_array, grid_axes, new_figure, show_image

# One scale for all maps: a network's cosines may fill [-.3, 1] or [.93, 1], so that neither the
# cosine nor the span of a map can be compared, but how far above the rest of its image a patch is.
SCALE = (-2.0, 2.0)
SCALE_WORDS = "standard deviations from the mean cosine of the picture's patches"
_COLOURS, _OPACITY = colormaps['inferno'], 0.7


def resize_map(similarity: np.ndarray, height: int, width: int) -> np.ndarray:
    """Bring a map of patches (h, w) to the size of its image (height, width), bilinearly."""
    return cv2.resize(
        np.asarray(similarity, np.float32), (width, height), interpolation=cv2.INTER_LINEAR
    )


def standardise(similarity: np.ndarray) -> np.ndarray:
    """Less the mean, over the standard deviation of a map; all 0 where it is constant."""
    return (similarity - similarity.mean()) / max(float(similarity.std()), 1e-12)


def scale_colours() -> list[str]:
    """Nine colours of the scale from its low to its high end, as ``'#rrggbb'``."""
    return [
        '#' + ''.join(f'{round(255 * value):02x}' for value in _COLOURS(place)[:3])
        for place in np.linspace(0, 1, 9)
    ]


def click_overlay(
    image: np.ndarray, point: tuple[float, float], similarity: np.ndarray | None = None
) -> np.ndarray:
    """The click on an image and, if it is given, the map over the greyed image.

    The colours are those of :data:`SCALE` for all maps. The outline is that of the patches above
    the threshold that Otsu's method finds in the map, which ``threshold='otsu'`` of
    :class:`PromptSegmenter` selects.

    Args:
        image (np.ndarray): uint8 RGB of shape (H, W, 3).
        point (tuple[float, float]): The click (x, y) in pixels.
        similarity (np.ndarray, optional): Cosines to the clicked patch, float of shape (h, w).

    Returns:
        np.ndarray: uint8 RGB of shape (H, W, 3).
    """
    height, width = image.shape[:2]
    unit = max(1, round(min(height, width) / 200))  # of lines, in pixels
    if similarity is None:
        picture = image.copy()
    else:
        similarity = resize_map(similarity, height, width)
        low, high = SCALE
        colours = _COLOURS((standardise(similarity) - low) / (high - low))[..., :3]
        grey = image.mean(2, keepdims=True)
        picture = (1 - _OPACITY) * grey + _OPACITY * 255 * colours
        picture = np.ascontiguousarray(picture.round().astype(np.uint8))
        threshold = float(otsu_threshold(torch.from_numpy(similarity)[None]))
        outline, _ = cv2.findContours(
            (similarity > threshold).astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE
        )
        for colour, thickness in ((0, 2 * unit), (255, unit)):
            cv2.drawContours(picture, outline, -1, [colour] * 3, thickness, cv2.LINE_AA)
    centre = tuple(round(float(each)) for each in point)
    for colour, thickness in ((0, 3 * unit), (255, unit)):
        cv2.circle(picture, centre, 6 * unit, [colour] * 3, thickness, cv2.LINE_AA)
    return picture


def cosine_range(similarity: np.ndarray) -> str:
    """The lowest and the highest cosine of a map, in words."""
    return f'cosine {similarity.min():.2f} to {similarity.max():.2f}'


def similarity_panel(
    images: Sequence[np.ndarray],
    points: Sequence[tuple[float, float]],
    maps: Mapping[str, Sequence[np.ndarray]],
) -> np.ndarray:
    """A row for each image: the image with its click, then one map for each network.

    Args:
        images (Sequence[np.ndarray]): uint8 RGB of shape (H, W, 3) each.
        points (Sequence[tuple[float, float]]): Clicked points (x, y) in pixels.
        maps (Mapping[str, Sequence[np.ndarray]]): For each network, such as 'before training', the
            cosine to the clicked patch of each image, float of shape (h, w).

    Returns:
        np.ndarray: uint8 RGB of shape (H', W', 3).
    """
    figure = new_figure(2.3 * (1 + len(maps)), 2.45 * len(images) + 1.0)
    axes = grid_axes(figure, [''] * len(images), ['clicked patch', *maps])
    for row, image, point, each in zip(
        axes, images, points, zip(*maps.values(), strict=True), strict=True
    ):
        show_image(row[0], click_overlay(image, point))
        for axis, similarity in zip(row[1:], each, strict=True):
            show_image(axis, click_overlay(image, point, similarity))
            axis.set_xlabel(cosine_range(similarity), fontsize=9)
    bar = figure.colorbar(
        ScalarMappable(Normalize(*SCALE), _COLOURS),
        ax=axes,
        location='bottom',
        shrink=0.6,
        aspect=40,
        pad=0.02,
    )
    bar.set_label(SCALE_WORDS, fontsize=9)
    bar.ax.tick_params(labelsize=8)
    return figure_to_array(figure)
