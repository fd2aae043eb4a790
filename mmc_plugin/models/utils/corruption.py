"""Filling of corrupted regions on the batch, and corruption per patch."""

import math

import torch


@torch.no_grad()
def corrupt(views, mask, alien, noise=None, generator=None):
    """Fill the masked region of each view with noise or with another image of the batch.

    An alien view takes the region at the same place in the clean image before it in the batch,
    same view (image b takes from b - 1, the first from the last). As the sampler shuffles the
    images, that neighbour is as random as any other choice, and none has to be drawn. A batch of
    one image has no other image, so it is filled with noise.

    Dimensions: V views, B images, C channels, H x W pixels.

    Args:
        views (torch.Tensor): Clean normalised views (V, B, C, H, W), floating point.
        mask (torch.Tensor): Corruption masks (V, B, H, W), bool, True = corrupted.
        alien (torch.Tensor): Corruption kind (V, B), bool, True = filled with another image,
            False = filled with noise.
        noise (torch.Tensor, optional): Noise to fill with, like ``views``. Drawn from N(0, 1)
            where not given.
        generator (torch.Generator, optional): Generator of the drawn noise, on the device of
            ``views``; the device's default one where not given.

    Returns:
        torch.Tensor: Corrupted copy of ``views``, equal to it to the bit outside the mask; no
        gradient flows through it.

    Raises:
        ValueError: If a shape or dtype does not fit.

    Source: arXiv 2308.11448 (group masking); the two kinds of filling as in the SiT release.
    """
    _check_fit(views, mask, alien, noise)
    if noise is None:
        # By shape and not like `views`: values must not depend on its memory layout.
        out = torch.randn(views.shape, dtype=views.dtype, device=views.device, generator=generator)
    else:
        out = noise.clone()
    # The noise's memory becomes the fill, then the result: no other tensor of this size is made.
    if views.shape[1] > 1:
        alien = alien[:, :, None, None, None]
        torch.where(alien[:, 1:], views[:, :-1], out[:, 1:], out=out[:, 1:])
        torch.where(alien[:, :1], views[:, -1:], out[:, :1], out=out[:, :1])
    return torch.where(mask.unsqueeze(2), out, views, out=out)


def patch_mask(mask, patch_size, min_cover=0.5):
    """Tell which patches are corrupted.

    A patch counts as corrupted when at least the part ``min_cover`` of its pixels is (and at least
    one pixel). With masks aligned to the patches the answer does not depend on ``min_cover``.

    Args:
        mask (torch.Tensor): Pixel masks (..., H, W), bool, True = corrupted.
        patch_size (int): Patch side p in pixels, a divisor of H and W.
        min_cover (float): Smallest corrupted part of a corrupted patch, in (0, 1].

    Returns:
        torch.Tensor: Patch masks (..., N), bool, N = H * W / p ** 2, row by row as ViT tokens.

    Raises:
        ValueError: If the mask is not boolean, ``patch_size`` does not divide its size or
            ``min_cover`` is out of range.
    """
    if mask.dtype != torch.bool or mask.dim() < 2:
        raise ValueError(
            'mask must be a bool tensor of shape (..., H, W) '
            f'but is {mask.dtype} of shape {tuple(mask.shape)}.'
        )
    height, width = mask.shape[-2:]
    if patch_size < 1 or height % patch_size or width % patch_size:
        raise ValueError(
            f'The mask size {height}x{width} is not a multiple of '
            f'patch_size={patch_size}; use the patch size of the backbone.'
        )
    if not 0 < min_cover <= 1:
        raise ValueError(f'min_cover must lie in (0, 1] but is {min_cover!r}.')
    # A whole number of pixels, so that the comparison is exact; rounding first keeps products
    # such as 0.07 * 100 = 7.000000000000001 from asking for one pixel more.
    needed = max(1, math.ceil(round(min_cover * patch_size**2, 6)))
    # (..., h, p, w, p) -> (..., h, w) -> (..., N)
    cells = mask.unflatten(-1, (width // patch_size, patch_size))
    cells = cells.unflatten(-3, (height // patch_size, patch_size))
    return (cells.sum(dim=(-3, -1), dtype=torch.int32) >= needed).flatten(-2)


def _check_fit(views, mask, alien, noise):
    """Refuse shapes and dtypes that do not fit; looks at no value, so it never waits on a GPU."""
    if views.dim() != 5 or not views.is_floating_point():
        raise ValueError(
            'views must be a floating point tensor of shape (V, B, C, H, W) '
            f'but is {views.dtype} of shape {tuple(views.shape)}.'
        )
    num_views, batch, _, height, width = views.shape
    for name, tensor, shape in (
        ('mask', mask, (num_views, batch, height, width)),
        ('alien', alien, (num_views, batch)),
    ):
        if tensor.dtype != torch.bool or tensor.shape != shape:
            raise ValueError(
                f'{name} must be a bool tensor of shape {shape} to fit views of shape '
                f'{tuple(views.shape)} but is {tensor.dtype} of shape {tuple(tensor.shape)}.'
            )
    if noise is not None and (noise.shape != views.shape or noise.dtype != views.dtype):
        raise ValueError(
            f'noise must be like views, {views.dtype} of shape {tuple(views.shape)}, '
            f'but is {noise.dtype} of shape {tuple(noise.shape)}.'
        )
