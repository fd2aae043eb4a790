"""Finer grids of tokens than the patches: passes over shifted images, averaged."""

from __future__ import annotations

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor

from ..errors import InputError


def shifted_features(
    encode: Callable[[Tensor], Tensor], images: Tensor, patch: int, stride: int
) -> Tensor:
    """Encode an image at every shift by multiples of a stride and average the tokens.

    Each pass moves the image down and right by less than a patch, with its first row and column
    repeated before it; the network sees its usual size each time. A cell of ``stride`` ×
    ``stride`` pixels gets the mean of the tokens whose patches contain it, of up to
    (patch / stride)² passes.

    Args:
        encode (Callable): Images (B, 3, S, S) → tokens (B, S / patch, S / patch, D).
        images (Tensor): (B, 3, S, S), S a multiple of the patch.
        patch (int): Side of a patch in pixels.
        stride (int): Side of a cell in pixels, a divisor of the patch.

    Returns:
        Tensor: (B, S / stride, S / stride, D); with ``stride == patch`` what one pass gives.

    Raises:
        ValueError: If the stride does not divide the patch.
    """
    if not 1 <= stride <= patch or patch % stride:
        divisors = [str(each) for each in range(1, patch + 1) if patch % each == 0]
        raise InputError(
            f'stride must divide the patch size {patch} (one of '
            f'{", ".join(divisors)}), got {stride}.'
        )
    if stride == patch:
        return encode(images)
    side, step = images.shape[-1], patch // stride
    total = count = None
    for down in range(0, patch, stride):
        for right in range(0, patch, stride):
            moved = F.pad(images, (right, 0, down, 0), mode='replicate')[..., :side, :side]
            tokens = encode(moved)
            fine = tokens.repeat_interleave(step, 1).repeat_interleave(step, 2)
            rows, columns = fine.shape[1] - down // stride, fine.shape[2] - right // stride
            if total is None:
                total = fine.new_zeros(fine.shape)
                count = fine.new_zeros(1, *fine.shape[1:3], 1)
            total[:, :rows, :columns] += fine[:, down // stride :, right // stride :]
            count[:, :rows, :columns] += 1
    return total / count
