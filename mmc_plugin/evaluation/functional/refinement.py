"""Similarity maps that follow the edges of their image, without training.

Legend: P maps, H × W pixels of the image.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import cv2
import numpy as np
import torch
from scipy import sparse
from scipy.sparse.linalg import LinearOperator, cg
from torch import Tensor

from ...errors import InputError

# The best in the mean over two networks by tools/benchmarks/finer_masks.py on images with even ids,
# see docs/zero_shot.md. Luma and chroma are TokenCut's.
GUIDED = dict(radius=0.5, eps=1e-3)  # of a cell; of colours in [0, 1], squared
BILATERAL = dict(spatial=0.5, luma=16.0, chroma=8.0, smoothness=64.0)  # of a cell; of 255


def guided_filter(maps: np.ndarray, image: np.ndarray, radius: int, eps: float) -> np.ndarray:
    """What a linear function of the image's colours, in each window, says of the maps.

    (He et al., TPAMI 2013, with a guide of three colours.) The image goes on beyond its sides as
    in a mirror.

    Args:
        maps (np.ndarray): float (P, H, W).
        image (np.ndarray): uint8 RGB (H, W, 3).
        radius (int): Windows are squares of 2 · radius + 1 pixels.
        eps (float): Variance of colours in [0, 1] below which a window is taken for flat.

    Returns:
        np.ndarray: float32 (P, H, W).
    """
    side = 2 * radius + 1

    def mean(plane: np.ndarray) -> np.ndarray:
        return cv2.blur(plane, (side, side), borderType=cv2.BORDER_REFLECT)

    colours = [np.ascontiguousarray(image[..., i], np.float32) / 255 for i in range(3)]
    r, g, b = means = [mean(each) for each in colours]
    rr, rg, rb, gg, gb, bb = (
        mean(colours[i] * colours[j]) - means[i] * means[j]
        for i, j in ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2))
    )
    rr, gg, bb = rr + eps, gg + eps, bb + eps
    # The inverse of each window's 3 × 3 covariance, by cofactors.
    first, second, third = gg * bb - gb * gb, gb * rb - rg * bb, rg * gb - gg * rb
    scale = 1 / (rr * first + rg * second + rb * third)
    inverse = (
        (first * scale, second * scale, third * scale),
        (second * scale, (rr * bb - rb * rb) * scale, (rb * rg - rr * gb) * scale),
        (third * scale, (rb * rg - rr * gb) * scale, (rr * gg - rg * rg) * scale),
    )
    out = np.empty(maps.shape, np.float32)
    for each, target in zip(maps, out, strict=True):
        each = np.ascontiguousarray(each, np.float32)
        level = mean(each)
        shared = [mean(each * c) - level * m for c, m in zip(colours, means, strict=True)]
        slopes = [
            sum(weight * cov for weight, cov in zip(row, shared, strict=True)) for row in inverse
        ]
        offset = level - (slopes[0] * r + slopes[1] * g + slopes[2] * b)
        target[:] = mean(offset)
        for slope, colour in zip(slopes, colours, strict=True):
            target += mean(slope) * colour
    return out


def bilateral_solver(
    maps: np.ndarray,
    image: np.ndarray,
    spatial: float,
    luma: float,
    chroma: float,
    smoothness: float,
) -> np.ndarray:
    """Maps near the given ones that are smooth where place and colour are (Barron & Poole 2016).

    Each pixel belongs to one vertex of a grid over place and colour; what is solved for are values
    of vertices. All pixels are trusted the same, as TokenCut does.

    Args:
        maps (np.ndarray): float (P, H, W).
        image (np.ndarray): uint8 RGB (H, W, 3).
        spatial (float): Side of a vertex in pixels.
        luma (float): Its extent in brightness, of 255.
        chroma (float): Its extent in each of the two colour differences, of 255.
        smoothness (float): λ, how much smoothness counts against nearness to the maps.

    Returns:
        np.ndarray: float32 (P, H, W).
    """
    height, width = image.shape[:2]
    extents = (spatial, spatial, luma, chroma, chroma)
    # Odd, so that a vertex and those beside it have numbers of which one is even and one odd.
    sides = [int(n / extent) + 3 | 1 for n, extent in zip((height, width, 255, 255, 255), extents,
                                                          strict=True)]  # fmt: skip
    small = np.int32 if math.prod(sides) < 2**31 else np.int64  # sorted in half of the time
    steps = np.cumprod([1, *sides[:0:-1]])[::-1].astype(small)  # each vertex has its own number

    def level(values: np.ndarray, axis: int) -> np.ndarray:
        return ((values / extents[axis]).astype(small) + 1) * steps[axis]

    codes = level(np.arange(height), 0)[:, None] + level(np.arange(width), 1)
    table = np.arange(256)
    for channel, plane in enumerate(cv2.split(cv2.cvtColor(image, cv2.COLOR_RGB2YCrCb))):
        codes += level(table, 2 + channel).take(plane)
    vertices, owner, mass = np.unique(codes.ravel(), return_inverse=True, return_counts=True)
    mass = mass.astype(np.float64)
    is_odd = vertices % 2 == 1
    even, odd = np.flatnonzero(~is_odd), np.flatnonzero(is_odd)
    rank = np.empty(len(vertices), np.int32)
    rank[even], rank[odd] = np.arange(len(even)), np.arange(len(odd))
    pairs = []
    for step in steps:
        place = np.minimum(np.searchsorted(vertices, vertices + step), len(vertices) - 1)
        has = np.flatnonzero(vertices[place] == vertices + step)
        ends = rank[has], rank[place[has]]
        pairs.append(np.where(is_odd[has], ends[::-1], ends))
    rows, columns = np.concatenate(pairs, 1)
    beside = sparse.csr_array((np.ones(len(rows)), (rows, columns)), (len(even), len(odd)))
    mass = mass[even], mass[odd]
    itself = 2.0 * len(steps)

    # Scaled until all rows sum to their mass [supplement of the paper, algorithm 1].
    scale = [np.ones(len(each)) for each in mass]

    def around() -> tuple[np.ndarray, np.ndarray]:
        return beside @ scale[1], beside.T @ scale[0]

    for _ in range(10):
        scale = [
            np.sqrt(each * m / (near + itself * each))
            for each, m, near in zip(scale, mass, around(), strict=True)
        ]
    diagonal = [
        m + smoothness * each * near for each, m, near in zip(scale, mass, around(), strict=True)
    ]
    beside.data = (
        smoothness * np.repeat(scale[0], np.diff(beside.indptr)) * scale[1][beside.indices]
    )
    back = (beside / diagonal[1]).T.tocsr()
    # Odd vertices are known from even ones: half of the unknowns, and of the steps to solve them.
    system = LinearOperator((len(even),) * 2, lambda x: diagonal[0] * x - beside @ (back @ x))
    jacobi = sparse.diags_array(1 / diagonal[0])
    out = np.empty(maps.shape, np.float32)
    solved = np.empty(len(vertices))
    for each, target in zip(maps, out, strict=True):
        splat = np.bincount(owner, each.ravel(), minlength=len(vertices))
        given = splat[odd] / diagonal[1]
        # A thousandth of a cosine is less than what a threshold can tell.
        solved[even], _ = cg(
            system, splat[even] + beside @ given, splat[even] / mass[0], rtol=0,
            atol=1e-3 * np.linalg.norm(splat), maxiter=500, M=jacobi,
        )  # fmt: skip
        solved[odd] = given + back @ solved[even]
        target[:] = solved[owner].reshape(height, width)
    return out


def _guided(maps: np.ndarray, image: np.ndarray, cell: float, settings: dict) -> np.ndarray:
    radius = max(1, round(settings['radius'] * cell))
    return guided_filter(maps, image, radius, settings['eps'])


def _bilateral(maps: np.ndarray, image: np.ndarray, cell: float, settings: dict) -> np.ndarray:
    spatial = max(1.0, settings['spatial'] * cell)
    return bilateral_solver(maps, image, **{**settings, 'spatial': spatial})


_WAYS: dict[str, tuple[Callable, dict]] = dict(
    guided=(_guided, GUIDED), bilateral=(_bilateral, BILATERAL)
)
REFINEMENTS = tuple(_WAYS)


def check_refine(refine: str | None) -> str | None:
    """Give ``refine`` back, or say what it may be."""
    if refine is not None and refine not in _WAYS:
        raise InputError(
            f'refine must be None or one of {", ".join(map(repr, _WAYS))}, got {refine!r}.'
        )
    return refine


def refine_maps(
    maps: Tensor, image: Tensor, how: str, cells: tuple[int, int], settings: dict | None = None
) -> Tensor:
    """Make upsampled maps of patches follow the edges of their image.

    Args:
        maps (Tensor): float (P, H, W), such as :meth:`ImageFrame.upsample` gives.
        image (Tensor): uint8 RGB (3, height, width), brought to H × W where it is another size.
        how (str): ``'guided'``, :func:`guided_filter`, or ``'bilateral'``,
            :func:`bilateral_solver`.
        cells (tuple[int, int]): Rows and columns of the patches that hold the image: windows and
            vertices grow with the pixels of a patch.
        settings (dict, optional): Defaults to None: :data:`GUIDED` or :data:`BILATERAL`, lengths
            in sides of a cell.

    Returns:
        Tensor: float32 (P, H, W), on the device of the maps; the work is done on the CPU.

    Raises:
        ValueError: If there is no such way.
    """
    check_refine(how)
    height, width = maps.shape[1:]
    pixels = image.permute(1, 2, 0).cpu().numpy()
    if pixels.shape[:2] != (height, width):
        pixels = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA)
    way, defaults = _WAYS[how]
    cell = float(np.sqrt(height * width / (cells[0] * cells[1])))
    found = way(maps.float().cpu().numpy(), np.ascontiguousarray(pixels), cell,
                settings or defaults)  # fmt: skip
    return torch.from_numpy(found).to(maps.device)
