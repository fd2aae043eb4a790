"""J and F of DAVIS (Perazzi et al., CVPR 2016), as the official evaluation of 2017 takes them.

Masks are uint8 (H, W) with 0 for the background and 1 … M for the objects. What the official code
(davis2017-evaluation) decides where the papers say nothing is kept: an object that is neither
there nor predicted scores 1, and neighbouring quarters of a sequence share a frame.
"""

from __future__ import annotations

import cv2
import numpy as np

_BOUND = 0.008  # of the diagonal: how far apart matching boundaries may lie
_QUARTERS = 4


def region_similarity(truth: np.ndarray, predicted: np.ndarray, objects: int) -> np.ndarray:
    """J, the intersection over the union of each object.

    Args:
        truth (np.ndarray): uint8 (H, W).
        predicted (np.ndarray): uint8 (H, W).
        objects (int): M; larger values count as the background.

    Returns:
        np.ndarray: float64 (M, ), 1 where an object is in neither mask.
    """
    pairs = np.bincount(truth.ravel().astype(np.int32) * 256 + predicted.ravel(), minlength=1 << 16)
    pairs = pairs.reshape(256, 256)
    both = pairs.diagonal()[1 : objects + 1]
    either = (pairs.sum(0) + pairs.sum(1))[1 : objects + 1] - both
    return np.where(either > 0, both / np.maximum(either, 1), 1.0)


def boundary(mask: np.ndarray) -> np.ndarray:
    """The boundary of a mask: pixels that differ from the one right, below, or right below.

    Args:
        mask (np.ndarray): bool (H, W).

    Returns:
        np.ndarray: bool (H, W).
    """
    framed = np.pad(mask, ((0, 1), (0, 1)), mode='edge')
    return mask ^ framed[:-1, 1:] | mask ^ framed[1:, :-1] | mask ^ framed[1:, 1:]


def boundary_accuracy(truth: np.ndarray, predicted: np.ndarray) -> float:
    """F, the harmonic mean of precision and recall of the boundary.

    A pixel of one boundary is matched if there is one of the other within a disc of 0.008 of the
    image's diagonal, rounded up.

    Args:
        truth (np.ndarray): bool (H, W).
        predicted (np.ndarray): bool (H, W).

    Returns:
        float: In [0, 1]; 1 if neither has a boundary, 0 if one has none.
    """
    lines = [boundary(each) for each in (truth, predicted)]
    if not lines[0].any() or not lines[1].any():
        return float(not lines[0].any() and not lines[1].any())
    reach = int(np.ceil(_BOUND * np.hypot(*truth.shape)))
    # What is farther from both lines than their own box matters to neither.
    rows, columns = (np.flatnonzero((lines[0] | lines[1]).any(axis)) for axis in (1, 0))
    box = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    lines = [np.ascontiguousarray(each[box]) for each in lines]
    recall, precision = (
        (_distance(other)[line] < np.sqrt(reach**2 + 0.5)).mean()
        for line, other in (lines, lines[::-1])
    )
    return float(2 * precision * recall / (precision + recall)) if precision + recall else 0.0


def _distance(line: np.ndarray) -> np.ndarray:
    """float32 (H, W): exact Euclidean distance to the nearest pixel of a line."""
    return cv2.distanceTransform((~line).view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)


def sequence_statistics(values: np.ndarray) -> dict[str, float]:
    """Mean, recall and decay of a measure over the frames of a sequence.

    Args:
        values (np.ndarray): float (T, ), at least one.

    Returns:
        dict[str, float]: ``mean``; ``recall``, the part of the frames above 0.5; ``decay``, the
        mean of the first quarter less that of the last.
    """
    edges = np.linspace(1, len(values), _QUARTERS + 1)
    edges = np.round(edges + 1e-10).astype(int) - 1
    first, last = values[edges[0] : edges[1] + 1], values[edges[-2] : edges[-1] + 1]
    return dict(
        mean=float(values.mean()),
        recall=float((values > 0.5).mean()),
        decay=float(first.mean() - last.mean()),
    )
