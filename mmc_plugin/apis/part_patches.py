"""Which small parts of photographs look like a given one (arXiv 2301.11915, figures 2 and 4)."""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.transforms import functional as TF

from ..datasets.transforms.loading import UnreadableImageError
from ..errors import InputError
from ..evaluation.feature_bank import KINDS
from ..models.features import FrozenFeatures
from ..structures.image_frame import centre_crop, short_side
from .features import Photograph, to_pixels

_ZOOM = 4  # the middle is made so many times larger before it is cut [release of the study]
_CELLS = 2 * _ZOOM - 1  # windows in a row, each half a window from the next [release]


@dataclass
class PartPatch:
    """A window of the middle of a photograph.

    Attributes:
        place: Of the photograph among those that were looked at; -1 for the query's.
        square: uint8 RGB (S, S, 3), the middle of the photograph as k-NN cuts it.
        box: (left, top, right, bottom), in pixels of the square.
        cosine: Of its features to the query's.
    """

    place: int
    square: np.ndarray
    box: tuple[float, float, float, float]
    cosine: float


def nearest_part_patches(
    model: FrozenFeatures,
    image: Photograph,
    point: tuple[float, float],
    others: Iterable[Photograph],
    number: int = 7,
    kind: str = 'cls',
) -> tuple[PartPatch, list[PartPatch], list[UnreadableImageError]]:
    """Windows of other photographs whose features have the highest cosine to one of an image.

    The middle of each photograph, a square as large as the network's, is made four times larger
    and cut into 7 × 7 windows of the network's size that overlap by half; each is encoded by
    itself. No more than one photograph's windows, and the best so far, are held.

    Args:
        model (FrozenFeatures): Whose size and layer are used; the study has 224 pixels.
        image: A photograph, as :func:`to_pixels` takes it.
        point (tuple[float, float]): (x, y) in its pixels; the window whose centre is nearest is
            looked for.
        others (Iterable): Photographs to look in, likewise.
        number (int): Most windows that are returned.
        kind (str): Of features: ``'cls'``, the class token, ``'pat'``, the mean of the patch
            tokens, or ``'hybrid'``, both.

    Returns:
        tuple[PartPatch, list[PartPatch], list[UnreadableImageError]]: The query, what was found by
        falling cosine, and which photographs cannot be read.

    Raises:
        ValueError: If the point lies outside of the image's middle, or a setting is another.
        UnreadableImageError: If the image cannot be read.
    """
    if number < 1 or kind not in KINDS:
        raise InputError(
            f'number must be positive and kind one of {", ".join(KINDS)}, got {number} and '
            f'{kind!r}.'
        )
    model.refuse_grid_settings()
    pixels = to_pixels(image)
    side = model.canvas()
    cell = _cell(point, pixels.shape[2], pixels.shape[1], side)
    square, features = _windows(model, pixels, kind)
    query = PartPatch(-1, square, _box(cell, side), 1.0)
    best, skipped = [], []
    for place, other in enumerate(others):
        try:
            square, there = _windows(model, to_pixels(other), kind)
        except UnreadableImageError as error:
            skipped.append(error)
            continue
        cosines = there @ features[cell]
        found = [
            PartPatch(place, square, _box(int(i), side), float(cosines[i]))
            for i in cosines.topk(min(number, len(cosines))).indices
        ]
        best = heapq.nlargest(number, [*best, *found], key=lambda each: each.cosine)
    return query, best, skipped


def _box(cell: int, side: int) -> tuple[float, float, float, float]:
    row, column = divmod(cell, _CELLS)
    step = side / _ZOOM / 2
    return column * step, row * step, (column + 2) * step, (row + 2) * step


def _cell(point: tuple[float, float], width: int, height: int, side: int) -> int:
    """The window whose centre is nearest to a point of an image of so many pixels."""
    scale = short_side(side) / min(width, height)
    cells = []
    for name, where, length in zip('xy', point, (width, height), strict=True):
        margin = (length * scale - side) / 2
        place = (where + 0.5) * scale - margin
        if not 0 <= place < side:  # so that NaN is refused, too
            low, high = (max(0.0, each) for each in (margin / scale, (margin + side) / scale - 1))
            if low > high:
                raise InputError(
                    f'The image of {width} × {height} pixels is too long: its middle, which is '
                    'looked at, is less than a pixel wide. Cut it.'
                )
            raise InputError(
                f'The point {tuple(point)} lies outside of the middle of the image, which is what '
                f'is looked at: {name} must be in {low:.0f} … {high:.0f}.'
            )
        cells.append(min(max(round(place / (side / _ZOOM / 2)) - 1, 0), _CELLS - 1))
    return cells[1] * _CELLS + cells[0]


def _windows(model: FrozenFeatures, pixels: Tensor, kind: str) -> tuple[np.ndarray, Tensor]:
    """The middle uint8 (S, S, 3) of an image, and features (49, D) of its windows, of length 1."""
    side = model.canvas()
    square = centre_crop(TF.to_pil_image(pixels), short_side(side), side)
    large = TF.resize(
        TF.to_pil_image(square), [_ZOOM * side, _ZOOM * side], TF.InterpolationMode.BICUBIC
    )
    half = side // 2
    cut = [
        TF.pil_to_tensor(large.crop((x * half, y * half, x * half + side, y * half + side)))
        for y in range(_CELLS)
        for x in range(_CELLS)
    ]
    cls, grids = model.tokens(model.normalise(torch.stack(cut)), [model.layer])
    parts = dict(cls=cls[0], pat=grids[0].flatten(1, 2).mean(1))
    wanted = ('cls', 'pat') if kind == 'hybrid' else (kind,)
    features = torch.cat([parts[name].float() for name in wanted], 1)
    return square.permute(1, 2, 0).numpy(), F.normalize(features, dim=1)
