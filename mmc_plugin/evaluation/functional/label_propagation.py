"""Labels of past frames carried to the next one by similar patches nearby (DINO, DAVIS-2017).

The protocol is the one of the DINO release (arXiv 2104.14294, section 4.2.2), which the MMC paper
(arXiv 2308.11448, table 2) follows.

Legend: S source frames, C labels with the background, h × w the grid of tokens, H × W pixels.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

# Side of the squares of tokens that are worked on at once, by kind of device. A larger one has
# more similarities outside the windows, a smaller one more calls.
_TILE = dict(cpu=8, cuda=16)


def propagate_labels(
    target: Tensor,
    sources: Tensor,
    labels: Tensor,
    radius: int = 12,
    topk: int = 5,
    temperature: float = 0.1,
) -> Tensor:
    """Labels of a frame as the mean of those of its tokens' neighbours in other frames.

    The neighbours of a token are the ``topk`` of highest cosine ``s`` among the tokens of all
    sources within ``radius`` rows and columns of its place, and those that are as similar as the
    last of these. They count by ``exp(s / temperature)``.

    Similarities are taken of squares of tokens with what surrounds them, never of all pairs:
    memory follows from ``radius`` and S, whatever the size of the grid.

    Args:
        target (Tensor): float (h, w, D), of length 1.
        sources (Tensor): float (S, h, w, D), likewise.
        labels (Tensor): float (S, C, h, w).
        radius (int): In tokens, from 0. Defaults to 12.
        topk (int): From 1. Defaults to 5.
        temperature (float): Above 0. Defaults to 0.1.

    Returns:
        Tensor: float (C, h, w).
    """
    h, w, _ = target.shape
    number, channels = labels.shape[:2]
    places = labels.permute(0, 2, 3, 1)  # (S, h, w, C)
    result = labels.new_empty(h, w, channels)
    tile = _TILE.get(target.device.type, 16)
    for rows, row_window in _spans(h, tile, radius):
        row_far = _far(rows, row_window, radius, target.device)  # (t, r)
        for columns, column_window in _spans(w, tile, radius):
            column_far = _far(columns, column_window, radius, target.device)  # (u, q)
            query = target[rows, columns].flatten(0, 1)  # (T, D), T = t · u
            key = sources[:, row_window, column_window].flatten(0, 2)  # (K, D), K = S · r · q
            value = places[:, row_window, column_window].flatten(0, 2)  # (K, C)
            far = row_far[:, None, :, None] | column_far[None, :, None, :]  # (t, u, r, q)
            similarity = query @ key.T  # (T, K)
            similarity.view(len(query), number, -1).masked_fill_(
                far.flatten(2).flatten(0, 1)[:, None], float('-inf')
            )
            best = similarity.topk(min(topk, len(key)), dim=1).values  # (T, k)
            # Relative to the nearest neighbour: the mean is the same and exp cannot overflow. A
            # window of fewer than topk tokens has -inf for the last, and all of it counts.
            weight = ((similarity - best[:, :1]) / temperature).exp_()
            weight.masked_fill_(similarity < best[:, -1:], 0)
            mean = weight @ value / weight.sum(1, keepdim=True)  # (T, C)
            result[rows, columns] = mean.view(*row_far.shape[:1], -1, channels)
    return result.permute(2, 0, 1)


def _spans(length: int, tile: int, radius: int) -> Iterator[tuple[slice, slice]]:
    """Pieces of an axis, and what lies within ``radius`` of each."""
    for start in range(0, length, tile):
        stop = min(start + tile, length)
        yield slice(start, stop), slice(max(0, start - radius), min(length, stop + radius))


def _far(inner: slice, outer: slice, radius: int, device: torch.device) -> Tensor:
    """bool (inner, outer): which places of an axis are more than ``radius`` apart."""
    inner, outer = (torch.arange(each.start, each.stop, device=device) for each in (inner, outer))
    return (inner[:, None] - outer).abs() > radius


def grid_labels(mask: np.ndarray, classes: np.ndarray, rows: int, columns: int) -> Tensor:
    """What the cells of a grid show of a mask, by its nearest pixel.

    Args:
        mask (np.ndarray): uint8 (H, W).
        classes (np.ndarray): uint8 (C, ), the values to tell apart.
        rows (int): h.
        columns (int): w.

    Returns:
        Tensor: float32 (C, h, w), 1 where a cell has the value, else 0.
    """
    small = Image.fromarray(mask).resize((columns, rows), Image.Resampling.NEAREST)
    return torch.from_numpy((np.asarray(small) == classes[:, None, None]).astype(np.float32))


def stretch(maps: Tensor) -> Tensor:
    """Bring each map to [0, 1]; one that is the same everywhere stays.

    Args:
        maps (Tensor): float (C, H, W), not negative.
    """
    low, high = maps.amin((1, 2), keepdim=True), maps.amax((1, 2), keepdim=True)
    span = high - low
    return torch.where(span > 0, (maps - low) / span, maps)


def labels_to_mask(
    labels: Tensor, classes: np.ndarray, canvas: tuple[int, int], size: tuple[int, int]
) -> np.ndarray:
    """The mask that soft labels mean, at the size of a frame.

    Labels are upsampled bilinearly to the canvas of the network, where each is stretched to [0, 1]
    and the largest wins; its mask is brought to the frame by the nearest pixel.

    Args:
        labels (Tensor): float (C, h, w).
        classes (np.ndarray): uint8 (C, ), the value that each stands for.
        canvas (tuple[int, int]): Height and width of what the network saw.
        size (tuple[int, int]): H and W of the frame.

    Returns:
        np.ndarray: uint8 (H, W).
    """
    maps = F.interpolate(labels[None], canvas, mode='bilinear', align_corners=False)[0]
    # Ten times as fast on a CPU as argmax(0); the first of equals wins, too.
    winner = classes[stretch(maps).max(0).indices.cpu().numpy()]
    return np.asarray(Image.fromarray(winner).resize(size[::-1], Image.Resampling.NEAREST))
