"""Cosine similarity between the patch tokens of an image."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def patch_similarity(tokens: Tensor, index: Tensor | int) -> Tensor:
    """Cosine of one patch token to every patch token of its image (arXiv 2308.11448, figure 1).

    Args:
        tokens (Tensor): Patch tokens of shape (B, N, D).
        index (Tensor | int): The chosen patch, row by row from the top left: one for all images,
            or a tensor of shape (B, ).

    Returns:
        Tensor: Similarities in [-1, 1], of shape (B, N).

    Raises:
        ValueError: If the shapes do not fit or an index lies outside the image.
    """
    if tokens.dim() != 3:
        raise ValueError(f'Patch tokens must have shape (B, N, D), got {tuple(tokens.shape)}.')
    batch, number, _ = tokens.shape
    index = tokens.new_zeros(batch).long() + index
    if index.shape != (batch,) or (index < 0).any() or (index >= number).any():
        raise ValueError(
            f'Patch indices must lie in 0 … {number - 1}, one for each of the '
            f'{batch} images, got {index.tolist()}.'
        )
    unit = F.normalize(tokens, dim=-1)
    chosen = unit.take_along_dim(index[:, None, None], dim=1)  # (B, 1, D)
    return (unit * chosen).sum(dim=-1)
