"""What a model in training takes for similar to a clicked patch."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..models.selfsup import PretrainingMethod
from .functional.prompt_masks import prompt_similarity


@torch.no_grad()
def click_maps(
    model: PretrainingMethod, images: Tensor, points: Sequence[tuple[float, float]]
) -> Tensor:
    """Cosine of all patches' features to that of a clicked one (arXiv 2308.11448, figure 1).

    Features are the teacher's.

    Args:
        model (PretrainingMethod): In evaluation mode.
        images (Tensor): uint8 RGB of shape (B, 3, S, S), S a multiple of the patch size.
        points (Sequence[tuple[float, float]]): For each image the click (x, y) in [0, 1).

    Returns:
        Tensor: float32 of shape (B, h, w), one value for each patch.
    """
    side = images.shape[-1] // model.patch_size
    _, patches = model.extract_feat(model.data_preprocessor.normalise(images), 'teacher')
    grids = patches.unflatten(1, (side, side))  # (B, h, w, D)
    cells = torch.tensor([[int(y * side) * side + int(x * side)] for x, y in points])
    return torch.cat(
        [prompt_similarity(grid, cell) for grid, cell in zip(grids, cells, strict=True)]
    )
