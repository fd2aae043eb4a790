"""What a student is trained on: views, and how it sees them (arXiv 2308.11448, figure 8)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from .figures import figure_to_array, grid_axes, new_figure, show_image

_CELL = 1.75  # inches
_NAME_LENGTH = 26  # characters
_BLUE, _ORANGE, _GREY = '#1f5fa8', '#b3541e', '#444444'
_HIDDEN, _OTHER = '#ff7f0e', '#17becf'  # frames of regions
_STRIPES = np.array([150, 190], np.uint8)  # grey levels


@dataclass
class Sample:
    """One training sample. Images are uint8 RGB of shape (H, W, 3).

    Attributes:
        name: Written beside its row.
        clean: The V global views.
        seen: The same, as the student sees them; None for one that the teacher alone sees.
        kinds: V words: ``'noise'``, ``'zeros'`` or ``'another image'``, with which pixels are
            filled; ``'masked'`` or ``'dropped'``, what patches are; ``''`` where it is as it was.
        mask: bool of shape (V, H, W), True = filled or hidden.
        regions: float of shape (V, R, 4), (left, top, right, bottom) in pixels, the hidden one
            first; or None.
        crops: The local crops, which are not corrupted; may be empty.
        original: The image before augmentation, of any size, or None.
    """

    name: str
    clean: Sequence[np.ndarray]
    seen: Sequence[np.ndarray | None]
    kinds: Sequence[str]
    mask: np.ndarray
    regions: np.ndarray | None = None
    crops: Sequence[np.ndarray] = ()
    original: np.ndarray | None = None


def sample_sheet(samples: Sequence[Sample], title: str = '') -> np.ndarray:
    """A row for each sample: its views, beside them how the student sees them, its local crops.

    Corrupted views stand with their masks. What was done, and to how much of a view, stands below
    it. Regions are framed, the hidden one in orange. Original images come first where the samples
    have them.

    Args:
        samples (Sequence[Sample]): Of one method; all or none with originals.
        title (str): Above all.

    Returns:
        np.ndarray: uint8 RGB of shape (H', W', 3).
    """
    columns = _columns(samples[0])
    figure = new_figure(_CELL * len(columns) + 0.5, (_CELL + 0.22) * len(samples) + 0.7)
    figure.get_layout_engine().set(w_pad=0.03, h_pad=0.03, wspace=0, hspace=0)
    if title:
        figure.suptitle(title, fontsize=12)
    names = [_shorten(sample.name) for sample in samples]
    for row, sample in zip(grid_axes(figure, names, columns), samples, strict=True):
        cells = iter(row)
        if sample.original is not None:
            show_image(next(cells), _square(sample.original))
        for view in range(len(sample.clean)):
            _draw_view(sample, view, cells)
        if sample.crops:
            show_image(next(cells), _mosaic(sample.crops))
    return figure_to_array(figure)


def hide(images: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Images (..., H, W, 3) with stripes, as no photograph has, on a mask (..., H, W)."""
    height, width = mask.shape[-2:]
    stripes = _STRIPES[np.add.outer(np.arange(height), np.arange(width)) // 2 % 2]
    return np.where(mask[..., None], stripes[..., None], images)


def _columns(sample: Sample) -> list[str]:
    columns = ['original'] if sample.original is not None else []
    for number, (seen, kind) in enumerate(zip(sample.seen, sample.kinds, strict=True), 1):
        columns.append(f'view {number}')
        if seen is not None and kind:
            columns += [kind] if _hides(kind) else ['corrupted', 'mask']
    if sample.crops:
        columns.append(f'{len(sample.crops)} local crops')
    return columns


def _hides(kind: str) -> bool:
    return kind in ('masked', 'dropped')


def _draw_view(sample: Sample, view: int, cells: Iterator[Axes]) -> None:
    """Draw into the next cells a view and how the student sees it."""
    seen, kind, mask = sample.seen[view], sample.kinds[view], sample.mask[view]
    axis = next(cells)
    show_image(axis, sample.clean[view])
    if sample.regions is not None:
        _frame(axis, sample.regions[view])
        if seen is not None:
            _caption(axis, f'{len(sample.regions[view])} regions, hidden: orange', _GREY)
    if seen is None or not kind:
        _caption(axis, 'teacher alone' if seen is None else 'as it is', _GREY)
        return
    axis = next(cells)
    show_image(axis, seen)
    colour = _ORANGE if kind == 'another image' else _BLUE
    share = f'{100 * mask.mean():.0f} %'
    _caption(axis, f'{share} of the patches' if _hides(kind) else f'{kind}, {share}', colour)
    if not _hides(kind):
        show_image(next(cells), np.repeat(mask[..., None], 3, 2).astype(np.uint8) * 255)


def _caption(axis: Axes, words: str, colour: str) -> None:
    axis.set_xlabel(words, fontsize=9, color=colour, labelpad=2)


def _frame(axis: Axes, regions: np.ndarray) -> None:
    """Frame boxes (R, 4); the first, which is hidden, lies above the others."""
    for number, (left, top, right, bottom) in reversed([*enumerate(regions)]):
        colour, width = (_OTHER, 1.0) if number else (_HIDDEN, 2.0)
        corner = left - 0.5, top - 0.5  # pixels are drawn around their numbers
        axis.add_patch(
            Rectangle(
                corner, right - left, bottom - top, fill=False, edgecolor=colour, linewidth=width
            )
        )


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
