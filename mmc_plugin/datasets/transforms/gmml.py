"""GMML corruption geometry: which pixels of a view are corrupted.

Sampling happens in the data workers; the pixels are filled later, on the batch and on the device,
by :func:`mmc_plugin.models.utils.corrupt`.
"""

from types import ModuleType

import numpy as np
from mmpretrain.registry import TRANSFORMS

from ...errors import InputError
from .base import Transform, check_count, check_fraction

# Blocks drawn per call of the random generator: at 224 pixels an alien mask takes some 15 blocks
# and a noise mask some 50, and unused draws cost less than one more round of array operations.
_BLOCKS_PER_DRAW = 48


def sample_block_mask(
    height: int,
    width: int,
    coverage: float,
    align: int,
    max_block: float = 0.3,
    rng: ModuleType | np.random.RandomState | np.random.Generator = np.random,
) -> np.ndarray:
    """Sample one group mask: the union of random rectangles.

    A target area ``U(min(.5, coverage), coverage) * height * width`` is drawn, then rectangles
    are added until their union reaches it (it may overshoot). With ``randint`` excluding its upper
    end, a rectangle is::

        top = randint(0, H - a) // a * a
        height = round(min(randint(a, floor(max_block * H)), H - top) / a) * a

    likewise ``left`` and ``width``, for ``a = align``. This rule of the GMML, SiT and MC-SSL
    releases covers pixels near the border, near the top-left corner above all, less often than
    those in the middle.

    On images so small that no rectangle can be longer than one cell, rectangles are one cell long
    and start anywhere: the rule as written would never reach the last row and column there.

    Args:
        height: Image height in pixels, a multiple of ``align``.
        width: Image width in pixels, a multiple of ``align``.
        coverage: Coverage ratio, in (0, 1].
        align: Grid that the rectangles keep to, in pixels. The patch size makes patches corrupted
            either as a whole or not at all; 1 is the releases' default.
        max_block: Longest rectangle side as a part of the image side, in (0, 1].
        rng: Source of random numbers: the ``numpy.random`` module (the global state that data
            workers seed), a ``RandomState`` or a ``Generator``.

    Returns:
        Boolean mask of shape (height, width), True = corrupted; never all False.

    Raises:
        ValueError: If an argument is out of range or ``align`` does not divide the image size.

    Source: arXiv 2308.11448 (group masking), the sampler of the GMML and SiT releases.
    """
    check_fraction('coverage', coverage)
    check_count('align', align)
    check_fraction('max_block', max_block)
    _check_size(height, width, align)

    # Everything happens on the grid of align x align cells; pixels only appear at the end.
    grid = np.zeros((height // align, width // align), dtype=np.bool_)
    cell_area = align * align
    low = min(0.5, coverage)
    target = (low + (coverage - low) * rng.random()) * height * width
    covered = 0
    while covered < target:
        starts, stops = _draw_blocks(height, width, align, max_block, rng)
        for (top, left), (bottom, right) in zip(starts.tolist(), stops.tolist(), strict=True):
            block = grid[top:bottom, left:right]  # slicing clips at the bottom and the right
            covered += cell_area * (block.size - np.count_nonzero(block))
            block.fill(True)
            if covered >= target:
                break
    if align == 1:
        return grid
    return grid.repeat(align, axis=1).repeat(align, axis=0)


def _draw_blocks(
    height: int,
    width: int,
    align: int,
    max_block: float,
    rng: ModuleType | np.random.RandomState | np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Draw rectangles as first cells and end cells, two integer arrays (K, 2), rows then columns.

    Ends may lie beyond the image. Each rectangle takes four numbers of ``rng``, in the order top,
    left, height, width.
    """
    sizes = (height, width)
    longest = [int(max_block * size) for size in sizes]  # pixels, excluded
    # Where rectangles are of one cell they start anywhere.
    places = [
        size - align if round((most - 1) / align) > 1 else size
        for size, most in zip(sizes, longest, strict=True)
    ]
    spans = np.array(places + [max(most - align, 1) for most in longest])
    # floor(low + u * (high - low)) is randint(low, high), and int conversion floors.
    draws = (rng.random((_BLOCKS_PER_DRAW, 4)) * spans).astype(np.int64)
    starts = draws[:, :2] // align
    # Rounding halves to even, as Python's round does. Clipping a rectangle to the image before or
    # after the rounding is the same, because the image ends on the grid.
    return starts, starts + np.rint((align + draws[:, 2:]) / align).astype(np.int64)


@TRANSFORMS.register_module()
class GMMLMask(Transform):
    """Sample the corruption mask of each view, independently.

    A coin per view chooses the corruption: noise, which covers much, or alien, where the region is
    filled with that of another image and covers less. See :func:`sample_block_mask` for the
    geometry. Random numbers come from numpy's global state.

    **Required keys:** ``img``: list of at least ``num_views`` arrays (H, W, C), those first ones
    equal in size; further images (local crops) stay uncorrupted.

    **Added keys:**

    - ``mask``: boolean array (V, H, W), True = corrupted, at least one block in each view.
    - ``alien``: boolean array (V, ), True = fill with another image, False = fill with noise.

    Args:
        num_views: V, number of leading images that get a mask.
        noise_ratio: Coverage ratio of noise views, in (0, 1] (0.75: arXiv 2308.11448).
        alien_ratio: Coverage ratio of alien views, in (0, 1] (0.30: arXiv 2308.11448).
        alien_prob: Probability of alien, in [0, 1] (0.5: SiT release).
        align: Grid of the blocks in pixels; the patch size makes patch masks exact (our choice),
            1 is the SiT release's default.
        max_block: Longest block side as a part of the image side (0.3: SiT release).

    Raises:
        ValueError: If an argument is out of range, or, on a sample, if there are too few views,
            they differ in size, or ``align`` does not divide their size.
    """

    def __init__(
        self,
        num_views: int = 2,
        noise_ratio: float = 0.75,
        alien_ratio: float = 0.30,
        alien_prob: float = 0.5,
        align: int = 16,
        max_block: float = 0.3,
    ) -> None:
        super().__init__()
        check_count('num_views', num_views)
        check_fraction('noise_ratio', noise_ratio)
        check_fraction('alien_ratio', alien_ratio)
        check_fraction('alien_prob', alien_prob, zero_allowed=True)
        check_count('align', align)
        check_fraction('max_block', max_block)
        self.num_views = num_views
        self.noise_ratio = noise_ratio
        self.alien_ratio = alien_ratio
        self.alien_prob = alien_prob
        self.align = align
        self.max_block = max_block

    def transform(self, results: dict) -> dict:
        """Add ``mask`` and ``alien`` to ``results``."""
        height, width = global_view_size(results, self.num_views, 'GMMLMask')
        alien = np.random.random(self.num_views) < self.alien_prob
        results['mask'] = np.stack([self.draw(height, width, each) for each in alien])
        results['alien'] = alien
        return results

    def draw(
        self,
        height: int,
        width: int,
        alien: bool,
        rng: ModuleType | np.random.RandomState = np.random,
    ) -> np.ndarray:
        """A mask (height, width) for one kind of corruption; see :func:`sample_block_mask`."""
        ratio = self.alien_ratio if alien else self.noise_ratio
        return sample_block_mask(height, width, ratio, self.align, self.max_block, rng)


def global_view_size(
    results: dict, num_views: int, transform: str, patch_size: int = 1
) -> tuple[int, int]:
    """Height and width in pixels that the first ``num_views`` images have in common.

    Raises:
        ValueError: That names the ``transform``, if there are fewer images, they differ in size,
            or ``patch_size`` does not divide it.
    """
    images = results['img']
    if not isinstance(images, (list, tuple)) or len(images) < num_views:
        found = f'{len(images)} of them' if isinstance(images, (list, tuple)) else 'one image'
        raise InputError(
            f"{transform} needs a list of at least num_views={num_views} images in 'img' "
            f'but found {found}; put MultiView before it or lower num_views.'
        )
    height, width = images[0].shape[:2]
    for image in images[1:num_views]:
        if image.shape[:2] != (height, width):
            raise InputError(
                f'{transform} needs views of one size but found {height}x{width} and '
                f'{image.shape[0]}x{image.shape[1]}; crop the first {num_views} views '
                'to the same size.'
            )
    if height % patch_size or width % patch_size:
        raise InputError(
            f'{transform}: views of {height}x{width} pixels are no multiple of '
            f'patch_size={patch_size}; use the patch size of the backbone.'
        )
    return height, width


def _check_size(height: int, width: int, align: int) -> None:
    check_count('height', height)
    check_count('width', width)
    if height % align or width % align:
        raise InputError(
            f'The image size {height}x{width} is not a multiple of align={align}; resize the views '
            'to a multiple of it, or set align to a divisor of both sides.'
        )
