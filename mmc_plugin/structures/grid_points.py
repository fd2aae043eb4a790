"""Where to click: prompts drawn inside masks (arXiv 2308.11448, zero-shot segmentation)."""

from __future__ import annotations

import torch
from torch import Tensor


def draw_prompts(coverage: Tensor, uniforms: Tensor) -> Tensor:
    """Draw cells of a grid at random among those that a mask covers well.

    These are the cells of which the mask covers at least half, or where there is none, the one that
    it covers most.

    Args:
        coverage (Tensor): float (M, h, w): covered part of each cell.
        uniforms (Tensor): float (M, R) in [0, 1): the random numbers, one for each prompt.

    Returns:
        Tensor: int64 (M, R), cells counted row by row from the top left.
    """
    flat = coverage.flatten(1)
    allowed = _well_covered(flat)
    order = allowed.logical_not().byte().argsort(dim=1, stable=True)  # the allowed ones come first
    number = allowed.sum(1, keepdim=True)
    choice = (uniforms * number).long().clamp(max=number - 1)
    return order.gather(1, choice)


def centre_prompts(coverage: Tensor) -> Tensor:
    """The cell, of those that :func:`draw_prompts` may draw, nearest to each mask's centre of mass.

    Args:
        coverage (Tensor): float (M, h, w): covered part of each cell.

    Returns:
        Tensor: int64 (M, 1), cells counted row by row from the top left.
    """
    flat = coverage.flatten(1)  # (M, N)
    h, w = coverage.shape[1:]
    y, x = torch.meshgrid(
        torch.arange(h, device=flat.device), torch.arange(w, device=flat.device), indexing='ij'
    )
    places = torch.stack([y, x], -1).flatten(0, 1).to(flat)  # (N, 2)
    centre = flat @ places / flat.sum(1, keepdim=True)
    far = torch.cdist(centre, places)  # (M, N)
    return far.masked_fill(~_well_covered(flat), float('inf')).argmin(1, keepdim=True)


def _well_covered(flat: Tensor) -> Tensor:
    allowed = flat >= 0.5
    most = torch.zeros_like(allowed).scatter_(1, flat.argmax(1, keepdim=True), True)
    return torch.where(allowed.any(1, keepdim=True), allowed, most)


def cell_centres(cells: Tensor, rows: int, columns: int, height: int, width: int) -> Tensor:
    """Points of an image at the centres of the cells of a grid that covers it.

    Args:
        cells (Tensor): int64 (…, ), counted row by row from the top left.
        rows (int): Cells of the grid from top to bottom.
        columns (int): Cells of the grid from left to right.
        height (int): Of the image in pixels.
        width (int): Of the image in pixels.

    Returns:
        Tensor: float64 (…, 2) points (x, y).
    """
    row, column = cells // columns, cells % columns
    x = (column.double() + 0.5) * width / columns
    y = (row.double() + 0.5) * height / rows
    return torch.stack([x, y], -1)
