"""From a prompted token to masks and their IoU at all thresholds in one pass.

Legend: P prompts, M masks, T thresholds, h × w the grid of tokens, H × W pixels of the image.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from ...structures.image_frame import ImageFrame

# Pixels of similarity maps that are worked on at once: 16 MB in float32.
PIXELS_AT_ONCE = 1 << 22


def prompt_similarity(tokens: Tensor, cells: Tensor) -> Tensor:
    """Cosine of prompted tokens to all tokens of their image.

    Args:
        tokens (Tensor): (h, w, D).
        cells (Tensor): int64 (P, ), tokens counted row by row from the top left.

    Returns:
        Tensor: float32 (P, h, w) in [-1, 1].
    """
    h, w, _ = tokens.shape
    unit = F.normalize(tokens.float().flatten(0, 1), dim=-1)  # (N, D)
    return (unit[cells] @ unit.T).view(-1, h, w)


def centred_tokens(tokens: Tensor, rows: int, columns: int) -> Tensor:
    """Tokens less their mean over the image.

    Args:
        tokens (Tensor): (h, w, D).
        rows (int): Rows from the top that hold the image; the mean is over these alone.
        columns (int): Columns from the left that do.

    Returns:
        Tensor: float32 (h, w, D). Tokens that are all the same are returned as they are: they
        have no direction left.
    """
    tokens = tokens.float()
    image = tokens[:rows, :columns]
    centred = tokens - image.mean((0, 1))
    # Rounding of the mean and of the tokens themselves is no difference between patches.
    same = centred[:rows, :columns].norm(dim=-1).amax() <= 1e-5 * image.norm(dim=-1).amax()
    return tokens if same else centred


def otsu_threshold(maps: Tensor) -> Tensor:
    """The threshold that parts each map into two classes of least variance (Otsu 1979).

    Args:
        maps (Tensor): float (P, …).

    Returns:
        Tensor: (P, ), the centre of one of 256 bins between the lowest and the highest value of
        each map; the value itself for a constant map.
    """
    bins = 256
    flat = maps.flatten(1).float()
    low, high = flat.amin(1, keepdim=True), flat.amax(1, keepdim=True)
    span = (high - low).clamp(min=torch.finfo(flat.dtype).tiny)
    index = ((flat - low) / span * bins).long().clamp(max=bins - 1)
    index = index + bins * torch.arange(len(flat), device=flat.device)[:, None]
    counts = torch.bincount(index.flatten(), minlength=bins * len(flat)).view(-1, bins).double()
    position = torch.arange(bins, device=flat.device).double() + 0.5
    below, total = counts.cumsum(1), counts.sum(1, keepdim=True)
    moment = (counts * position).cumsum(1)
    mean_below = moment / below
    mean_above = (moment[:, -1:] - moment) / (total - below).clamp(min=1)
    # A split after the last bin leaves nothing above.
    between = (below * (total - below) * (mean_below - mean_above) ** 2)[:, :-1]
    centre = position[between.argmax(1)] / bins
    return torch.where(
        high[:, 0] > low[:, 0], low[:, 0] + centre.float() * (high - low)[:, 0], low[:, 0]
    )


def prompt_chunks(number: int, pixels: int) -> Iterator[slice]:
    """Slices of ``number`` prompts whose maps have about :data:`PIXELS_AT_ONCE` pixels together."""
    step = max(1, PIXELS_AT_ONCE // pixels)
    for start in range(0, number, step):
        yield slice(start, min(start + step, number))


def pixel_codes(masks: Tensor, ignore: Tensor | None) -> Tensor:
    """What each pixel is to each mask: 0 outside, 1 inside, 2 ignored.

    Args:
        masks (Tensor): bool (M, H, W).
        ignore (Tensor | None): bool (H, W), pixels that count for no mask.

    Returns:
        Tensor: int32 (M, H, W).
    """
    codes = masks.int()
    return codes if ignore is None else codes.masked_fill_(ignore, 2)


def threshold_counts(
    maps: Tensor,
    codes: Tensor,
    owner: Tensor,
    thresholds: Tensor,
    frame: ImageFrame,
    refine: Callable[[Tensor], Tensor] | None = None,
) -> tuple[Tensor, Tensor]:
    """Count what each threshold predicts inside and outside the mask of each prompt.

    A pixel is predicted where its similarity is larger than the threshold. Each pixel is sorted
    once into the bins between the thresholds; sums of bins from above give all thresholds.
    Prompts are worked on in chunks, so memory does not grow with their number.

    Args:
        maps (Tensor): float (P, h, w), similarities over the canvas of ``frame``.
        codes (Tensor): int32 (M, H, W) of :func:`pixel_codes`.
        owner (Tensor): int64 (P, ), the mask that each prompt belongs to.
        thresholds (Tensor): float (T, ), ascending.
        frame (ImageFrame): Of the image of H × W pixels.
        refine (Callable, optional): Done to upsampled maps (C, H, W) before they are counted.

    Returns:
        tuple[Tensor, Tensor]: int64 (P, T) predicted pixels inside and outside the mask, among
        those that are not ignored.
    """
    bins = len(thresholds) + 1
    thresholds = thresholds.to(maps)
    out = []
    for part in prompt_chunks(len(maps), frame.height * frame.width):
        full = frame.upsample(maps[part])  # (C, H, W)
        if refine is not None:
            full = refine(full)
        # Bin i holds what is larger than i of the thresholds.
        key = torch.bucketize(full, thresholds, out_int32=True)
        row = 3 * torch.arange(len(key), device=key.device, dtype=torch.int32)[:, None, None]
        key += (codes[owner[part]] + row).mul_(bins)
        counts = torch.bincount(key.flatten(), minlength=3 * len(key) * bins)
        out.append(counts.view(-1, 3, bins)[:, :2])
    counts = torch.cat(out) if out else codes.new_zeros(0, 2, bins).long()
    above = counts.flip(-1).cumsum(-1).flip(-1)[..., 1:]  # (P, 2, T)
    return above[:, 1], above[:, 0]


def iou_from_counts(inside: Tensor, outside: Tensor, size: Tensor) -> Tensor:
    """IoU of predictions.

    Args:
        inside (Tensor): int64 (P, T), predicted pixels inside the mask.
        outside (Tensor): int64 (P, T), predicted pixels outside.
        size (Tensor): int64 (P, ), pixels of the mask, at least 1.

    Returns:
        Tensor: float64 (P, T).
    """
    return inside.double() / (outside + size[:, None]).double()
