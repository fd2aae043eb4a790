"""One picture of a segmentation: image, truth, prediction and what the colours mean."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.patches import Patch

from ..visualization.figures import figure_to_array, grid_axes, new_figure, show_image

_WIDTH = 12.0  # inches


def overlay(image: np.ndarray, labels: np.ndarray, palette: np.ndarray) -> np.ndarray:
    """Colours of the classes over a grey image; pixels without a class are nearly black.

    Args:
        image (np.ndarray): uint8 RGB of shape (H, W, 3).
        labels (np.ndarray): (H, W), ids of classes; others are drawn as unlabelled.
        palette (np.ndarray): uint8 RGB of shape (classes, 3).

    Returns:
        np.ndarray: uint8 RGB of shape (H, W, 3).
    """
    known = labels < len(palette)
    colours = np.where(known[..., None], palette[np.where(known, labels, 0)], 0)
    grey = image.mean(-1, keepdims=True)
    return (0.3 * grey + 0.7 * colours).round().astype(np.uint8)


def segmentation_panel(
    image: np.ndarray,
    truth: np.ndarray,
    prediction: np.ndarray,
    classes: Sequence[str],
    palette: Sequence[Sequence[int]],
    title: str = '',
) -> np.ndarray:
    """Image, truth and prediction side by side over a legend with the IoU in this image.

    Args:
        image (np.ndarray): uint8 RGB of shape (H, W, 3).
        truth (np.ndarray): (H, W), ids of classes; others are unlabelled and do not count.
        prediction (np.ndarray): (H, W), ids of classes.
        classes (Sequence[str]): Names.
        palette (Sequence): RGB of each class.
        title (str): Written above.

    Returns:
        np.ndarray: uint8 RGB of the whole picture, (H', W', 3).
    """
    colours = np.asarray(palette, dtype=np.uint8)
    known = truth < len(classes)
    pairs = np.bincount(
        truth[known].astype(int) * len(classes) + prediction[known], minlength=len(classes) ** 2
    ).reshape(len(classes), -1)  # (truth, prediction)
    hit, union = pairs.diagonal(), pairs.sum(0) + pairs.sum(1) - pairs.diagonal()
    # The largest classes first; those that the image lacks are not named.
    present = [i for i in np.argsort(-(pairs.sum(0) + pairs.sum(1)), kind='stable') if union[i]]
    named = [(colours[i] / 255, f'{classes[i]}  {100 * hit[i] / union[i]:.0f} %') for i in present]
    if not known.all():
        named.append(('0.15', 'no label'))
    entries = [
        Patch(facecolor=colour, edgecolor='0.3', linewidth=0.5, label=label)
        for colour, label in named
    ]

    height, width = image.shape[:2]
    # Six columns of a legend for names of up to a dozen letters, fewer for longer ones: a letter
    # takes some 6 points, and what stands before and after a name 40.
    longest = max((len(entry.get_label()) for entry in entries), default=0)
    columns = max(1, min(6, int(_WIDTH * 72 / (40 + 6 * longest))))
    rows = -(-len(entries) // columns)
    figure = new_figure(_WIDTH, _WIDTH / 3 * height / width + 0.75 + 0.24 * rows)
    axes = grid_axes(figure, [''], ['image', 'truth', 'prediction'])[0]
    pictures = image, overlay(image, truth, colours), overlay(image, prediction, colours)
    for axis, picture in zip(axes, pictures, strict=True):
        show_image(axis, picture)
    if present:
        title += f'   mean IoU in this image {100 * (hit[present] / union[present]).mean():.1f} %'
    figure.suptitle(title, fontsize=11)
    figure.legend(
        handles=entries,
        loc='outside lower center',
        ncols=min(columns, len(entries)),
        frameon=False,
        fontsize=10,
        handlelength=1.2,
        handleheight=1.2,
    )
    return figure_to_array(figure)
