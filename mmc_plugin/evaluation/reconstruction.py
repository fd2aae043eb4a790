"""What a student makes of corrupted images (arXiv 2308.11448, figure 9)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from ..datasets.transforms.gmml import sample_block_mask
from ..models.selfsup import PretrainingMethod
from ..models.utils.corruption import corrupt


def draw_corruption(
    ratios: Sequence[float], size: int, patch_size: int, seed: int
) -> tuple[Tensor, Tensor]:
    """Draw masks and noise that are the same on every device.

    Args:
        ratios (Sequence[float]): For each of B images the most to be corrupted.
        size (int): Side of the images in pixels.
        patch_size (int): What the masks are aligned to.
        seed (int): Of both.

    Returns:
        tuple[Tensor, Tensor]: Masks, bool of shape (B, size, size), and noise from N(0, 1) of
        shape (B, 3, size, size).
    """
    rng = np.random.RandomState(seed)
    masks = [sample_block_mask(size, size, ratio, patch_size, rng=rng) for ratio in ratios]
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(len(masks), 3, size, size, generator=generator)
    return torch.from_numpy(np.stack(masks)), noise


@torch.no_grad()
def corrupt_and_reconstruct(
    model: PretrainingMethod,
    images: Tensor,
    mask: Tensor,
    alien: Tensor,
    noise: Tensor,
    layers: Sequence[int] = (-1,),
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Corrupt images and let the student paint them, from the output of some layers.

    Args:
        model (PretrainingMethod): One that reconstructs.
        images (Tensor): uint8 RGB of shape (B, 3, H, W).
        mask (Tensor): bool of shape (B, H, W), True = corrupted.
        alien (Tensor): bool of shape (B,), True = filled with the image before.
        noise (Tensor): float of shape (B, 3, H, W), for the others.
        layers (Sequence[int]): L layers, from 0, or negative from the end.

    Returns:
        tuple[np.ndarray, np.ndarray, np.ndarray]: Clean and corrupted, uint8 RGB of shape
        (B, H, W, 3), and reconstructed, (L, B, H, W, 3).
    """
    preprocessor = model.data_preprocessor
    clean = preprocessor.normalise(images)
    mask, alien = mask.to(clean.device), alien.to(clean.device)
    corrupted = corrupt(clean[None], mask[None], alien[None], noise[None].to(clean))[0]
    clean, corrupted, *made = (
        preprocessor.denormalise(each).permute(0, 2, 3, 1).numpy()
        for each in (clean, corrupted, *model.reconstruct_layers(corrupted, layers))
    )
    return clean, corrupted, np.stack(made)
