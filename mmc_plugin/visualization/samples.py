"""What the model is trained on: views and their corruption (arXiv 2308.11448, figure 8)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .figures import figure_to_array, grid_axes, new_figure, show_image

_CELL = 1.75  # inches
_NAME_LENGTH = 26  # characters
_NOISE, _ALIEN = '#1f5fa8', '#b3541e'


@dataclass
class Sample:
    """One training sample. Images are uint8 RGB of shape (H, W, 3).

    Attributes:
        name: Written beside its row.
        clean: The V global views.
        corrupted: The same, as the student sees them.
        mask: bool of shape (V, H, W), True = corrupted.
        alien: bool of shape (V,), True = filled with another image, False = with noise.
        crops: The local crops, which are not corrupted; may be empty.
        original: The image before augmentation, of any size, or None.
    """

    name: str
    clean: Sequence[np.ndarray]
    corrupted: Sequence[np.ndarray]
    mask: np.ndarray
    alien: np.ndarray
    crops: Sequence[np.ndarray] = ()
    original: np.ndarray | None = None


def sample_sheet(samples: Sequence[Sample], title: str = '') -> np.ndarray:
    """A row for each sample: per view clean, corrupted and mask, then local crops if it has any.

    The kind of filling and the corrupted share stand below each corrupted view. Original images
    come first where the samples have them.

    Args:
        samples (Sequence[Sample]): With equally many views, all or none with crops, all or none
            with originals.
        title (str): Above all.

    Returns:
        np.ndarray: uint8 RGB of shape (H', W', 3).
    """
    first = samples[0]
    columns = ['original'] if first.original is not None else []
    for view in range(1, len(first.clean) + 1):
        columns += [f'view {view}', 'corrupted', 'mask']
    if first.crops:
        columns.append(f'{len(first.crops)} local crops')

    figure = new_figure(_CELL * len(columns) + 0.5, (_CELL + 0.22) * len(samples) + 0.7)
    figure.get_layout_engine().set(w_pad=0.03, h_pad=0.03, wspace=0, hspace=0)
    if title:
        figure.suptitle(title, fontsize=12)
    names = [_shorten(sample.name) for sample in samples]
    for row, sample in zip(grid_axes(figure, names, columns), samples, strict=True):
        cells = iter(row)
        if sample.original is not None:
            show_image(next(cells), _square(sample.original))
        for clean, corrupted, mask, alien in zip(
            sample.clean, sample.corrupted, sample.mask, sample.alien, strict=True
        ):
            show_image(next(cells), clean)
            axis = next(cells)
            show_image(axis, corrupted)
            axis.set_xlabel(
                f'{"another image" if alien else "noise"}, {100 * mask.mean():.0f} %',
                fontsize=9,
                color=_ALIEN if alien else _NOISE,
                labelpad=2,
            )
            show_image(next(cells), np.repeat(mask[..., None], 3, 2).astype(np.uint8) * 255)
        if sample.crops:
            show_image(next(cells), _mosaic(sample.crops))
    return figure_to_array(figure)


def _shorten(name: str) -> str:
    """The end of a long name: it tells files of one folder apart."""
    return name if len(name) <= _NAME_LENGTH else '…' + name[1 - _NAME_LENGTH :]


def _square(image: np.ndarray) -> np.ndarray:
    """Pad with white to a square, so that all rows are equally high."""
    height, width = image.shape[:2]
    side = max(height, width)
    top, left = (side - height) // 2, (side - width) // 2
    out = np.full((side, side, 3), 255, np.uint8)
    out[top : top + height, left : left + width] = image
    return out


def _mosaic(images: Sequence[np.ndarray]) -> np.ndarray:
    """Images of one size in the smallest square grid that holds them, white between them."""
    gap = 4
    columns = int(np.ceil(np.sqrt(len(images))))
    height, width = images[0].shape[:2]
    out = np.full((columns * (height + gap) - gap, columns * (width + gap) - gap, 3), 255, np.uint8)
    for number, image in enumerate(images):
        top, left = number // columns * (height + gap), number % columns * (width + gap)
        out[top : top + height, left : left + width] = image
    return out
