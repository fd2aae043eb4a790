"""Masks and boxes of objects that nobody clicked on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..structures.image_frame import ImageFrame
from .functional.refinement import check_refine, refine_maps
from .functional.spectral_cut import spectral_objects


@dataclass
class FoundObject:
    """An object that nobody clicked on.

    Attributes:
        mask: bool (H, W).
        box: (left, top, right, bottom) of the mask in pixels, right and bottom exclusive.
    """

    mask: np.ndarray
    box: tuple[int, int, int, int]


def object_masks(
    tokens: Tensor,
    pixels: Tensor | None,
    frame: ImageFrame,
    number: int = 1,
    threshold: float | None = None,
    refine: str | None = None,
) -> list[FoundObject]:
    """Cut objects out of tokens, see :func:`spectral_objects`, and bring them to their image.

    Args:
        tokens (Tensor): (h, w, D) over the canvas.
        pixels (Tensor | None): uint8 RGB (3, height, width), needed to refine.
        frame (ImageFrame): Of the image of H × W pixels.
        number (int): Objects to look for. Defaults to 1.
        threshold (float, optional): Of the cosine of patches that belong together. Defaults to
            None, Otsu's.
        refine (str, optional): ``'guided'`` or ``'bilateral'``, see :func:`refine_maps`. Defaults
            to None.

    Returns:
        list[FoundObject]: At most ``number``, in the order in which they were found.
    """
    check_refine(refine)
    rows, columns = held = frame.content_cells(*tokens.shape[:2])
    cells = spectral_objects(tokens[:rows, :columns], number, threshold)
    maps = torch.zeros(len(cells), *tokens.shape[:2])
    maps[:, :rows, :columns] = cells.float()
    full = frame.upsample(maps) if len(maps) else maps
    if refine is not None and len(maps):
        full = refine_maps(full, pixels, refine, held)
    found = []
    for mask in (full > 0.5).numpy():
        y, x = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
        if len(y):  # a refined map may nowhere reach a half
            box = (int(x[0]), int(y[0]), int(x[-1]) + 1, int(y[-1]) + 1)
            found.append(FoundObject(mask, box))
    return found
