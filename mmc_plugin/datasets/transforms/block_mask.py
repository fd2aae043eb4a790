"""Masks of whole patches: blocks, as BEiT and iBOT draw them, or single patches."""

from __future__ import annotations

import math
from collections.abc import Sequence
from types import ModuleType

import numpy as np
from mmpretrain.registry import TRANSFORMS

from ...errors import InputError
from .base import Transform, checked_range
from .gmml import global_view_size

_TRIES = 10  # iBOT release: draws of a block before what is there is taken
_LONGEST = 1 / 0.3  # iBOT release: height over width of a block, and width over height


def sample_cells(
    rows: int,
    columns: int,
    ratio: float,
    shape: str = 'block',
    rng: ModuleType | np.random.RandomState = np.random,
) -> np.ndarray:
    """Draw cells of a grid: at most ``ratio`` of them.

    Blocks (iBOT release): rectangles of an area U(A, cells still wanted), with A the square of a
    third of the shorter side, of a shape uniform in its logarithm within .3 … 1/.3, at a random
    place, are taken if they add a cell and no more cells than are wanted; after ten that do not,
    the mask is as it is. So it never overshoots: at 14×14 a mean cover of .0895, .195, .292, .395
    and .498 for .1 … .5.

    Args:
        rows: Of the grid.
        columns: Of the grid.
        ratio: In [0, 1].
        shape: ``'block'``, or ``'random'`` for int(ratio · cells) single cells.
        rng: Source of random numbers.

    Returns:
        Boolean array (rows, columns).
    """
    cells = np.zeros((rows, columns), dtype=np.bool_)
    left = ratio * cells.size  # no whole number: a block may be as large as its floor
    if shape == 'random':
        cells.flat[rng.permutation(cells.size)[: int(left)]] = True
        return cells
    smallest = (min(rows, columns) // 3) ** 2
    while left > 0:
        added = _add_block(cells, smallest, left, rng)
        if not added:
            break
        left -= added
    return cells


def _add_block(cells: np.ndarray, smallest: int, left: float, rng: ModuleType) -> int:
    """Add a block to the cells; the number of new ones, 0 if no draw fits."""
    rows, columns = cells.shape
    bound = math.log(_LONGEST)
    for _ in range(_TRIES):
        area = rng.uniform(smallest, left)
        shape = math.exp(rng.uniform(-bound, bound))
        height, width = round(math.sqrt(area * shape)), round(math.sqrt(area / shape))
        if not (height < rows and width < columns):
            continue
        top, start = rng.randint(0, rows - height + 1), rng.randint(0, columns - width + 1)
        block = cells[top : top + height, start : start + width]
        new = block.size - int(block.sum())
        if 0 < new <= left:
            block[:] = True
            return new
    return 0


@TRANSFORMS.register_module()
class BlockMask(Transform):
    """Mask whole patches of each view, independently.

    For each view a ratio is chosen from a list with equal chances, then cells by
    :func:`sample_cells`. Random numbers come from numpy's global state.

    **Required keys:** ``img``: list of at least ``num_views`` arrays (H, W, C), those first ones
    equal in size; further images (local crops) stay whole.

    **Added keys:** ``mask``: boolean array (V, H, W), True = hidden, all of a patch or none of it.

    Args:
        num_views: V, number of leading images that get a mask.
        patch_size: Side of a patch in pixels.
        ratios: Pairs (low, high): a ratio is uniform between them. Defaults to 0 and .1 … .5
            with equal chances [iBOT release].
        shape: ``'block'`` or ``'random'`` [iBOT release: both].

    Raises:
        ValueError: If an argument is out of range, or, on a sample, if there are too few views,
            they differ in size, or the patch size does not divide it.
    """

    def __init__(
        self,
        num_views: int = 2,
        patch_size: int = 16,
        ratios: Sequence[Sequence[float]] = ((0.0, 0.0), (0.1, 0.5)),
        shape: str = 'block',
    ) -> None:
        super().__init__()
        if shape not in ('block', 'random') or num_views < 1 or patch_size < 1:
            raise InputError(
                "BlockMask needs shape='block' or 'random', num_views and patch_size of at least "
                f'1, got {shape!r}, {num_views} and {patch_size}.'
            )
        if not isinstance(ratios, Sequence) or not ratios:
            raise InputError(f'BlockMask.ratios is a list of pairs (low, high), not {ratios!r}.')
        self.num_views, self.patch_size = num_views, patch_size
        self.ratios = [checked_range('Each of BlockMask.ratios', r, low=0, high=1) for r in ratios]
        self.shape = shape

    def transform(self, results: dict) -> dict:
        """Add ``mask`` to ``results``."""
        height, width = global_view_size(results, self.num_views, 'BlockMask', self.patch_size)
        masks = []
        for _ in range(self.num_views):
            low, high = self.ratios[np.random.randint(len(self.ratios))]
            masks.append(
                sample_cells(
                    height // self.patch_size, width // self.patch_size,
                    np.random.uniform(low, high), self.shape,
                )
            )  # fmt: skip
        mask = np.stack(masks).repeat(self.patch_size, axis=1).repeat(self.patch_size, axis=2)
        results['mask'] = mask
        return results
