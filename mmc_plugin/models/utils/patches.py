"""Images to rows of patch pixels and back."""

import torch

from ...errors import InputError


def patchify(images: torch.Tensor, patch_size: int) -> torch.Tensor:
    """Cut images into patches.

    Args:
        images (torch.Tensor): (B, C, H, W), H and W multiples of ``patch_size``.
        patch_size (int): p, in pixels.

    Returns:
        torch.Tensor: (B, N, C*p*p), patches in row-major order, pixels as (C, p, p).

    Raises:
        ValueError: If ``patch_size`` does not divide the image.
    """
    b, c, h, w = images.shape
    p = patch_size
    if h % p or w % p:
        raise InputError(f'Images of {h}x{w} pixels cannot be cut into patches of {p}x{p}.')
    grid = images.reshape(b, c, h // p, p, w // p, p)
    return grid.permute(0, 2, 4, 1, 3, 5).reshape(b, (h // p) * (w // p), c * p * p)


def unpatchify(rows: torch.Tensor, patch_size: int, height: int, width: int) -> torch.Tensor:
    """Inverse of :func:`patchify`: (B, N, C*p*p) to (B, C, height, width)."""
    b, _, values = rows.shape
    p = patch_size
    grid = rows.reshape(b, height // p, width // p, values // p**2, p, p)
    return grid.permute(0, 3, 1, 4, 2, 5).reshape(b, -1, height, width)
