"""Filling of corrupted regions on the batch, and corruption per patch."""

import torch

from ...errors import InputError


@torch.no_grad()
def corrupt(
    views: torch.Tensor,
    mask: torch.Tensor,
    alien: torch.Tensor,
    noise: torch.Tensor | None = None,
    generator: torch.Generator | None = None,
    fill: str = 'noise',
) -> torch.Tensor:
    """Fill the masked region of each view with noise or with another image of the batch.

    An alien view takes the region at the same place in the clean image before it in the batch,
    same view (image b takes from b - 1, the first from the last). As the sampler shuffles the
    images, that neighbour is as random as any other choice, and none has to be drawn. A batch of
    one image has no other image, so it is filled with noise.

    Dimensions: V views, B images, C channels, H x W pixels.

    Args:
        views: Clean normalised views (V, B, C, H, W), floating point.
        mask: Corruption masks (V, B, H, W), bool, True = corrupted.
        alien: Corruption kind (V, B), bool, True = filled with another image, False = filled with
            noise.
        noise: Noise to fill with, like ``views``. Drawn from N(0, 1) where not given.
        generator: Generator of the drawn noise, on the device of ``views``; the device's default
            one where not given.
        fill: ``'noise'``, or ``'zeros'`` in its place (SiT and MC-SSL releases).

    Returns:
        Corrupted copy of ``views``, equal to it to the bit outside the mask; no gradient flows
        through it.

    Raises:
        ValueError: If a shape or dtype does not fit.

    Source: arXiv 2308.11448 (group masking); the two kinds of filling as in the SiT release.
    """
    _check_shapes(views, mask, alien, noise)
    check_fill(fill)
    if fill == 'zeros':
        out = torch.zeros_like(views)
    elif noise is None:
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


def fillings(alien: torch.Tensor, fill: str) -> list[str]:
    """What :func:`corrupt` fills the images of a batch with, in words.

    Args:
        alien: Corruption kind (B, ), bool, of one view.
        fill: ``'noise'`` or ``'zeros'``.
    """
    others = len(alien) > 1
    return ['another image' if each and others else fill for each in alien.tolist()]


def check_fill(fill: str) -> None:
    """Refuse what :func:`corrupt` cannot fill with.

    Raises:
        ValueError: That names what it can.
    """
    if fill not in ('noise', 'zeros'):
        raise InputError(f"fill must be 'noise' or 'zeros', not {fill!r}.")


def patch_mask(mask: torch.Tensor, patch_size: int) -> torch.Tensor:
    """Tell which patches are corrupted.

    A patch counts as corrupted when at least half of its pixels are.

    Args:
        mask: Pixel masks (..., H, W), bool, True = corrupted.
        patch_size: Patch side p in pixels, a divisor of H and W.

    Returns:
        Patch masks (..., N), bool, N = H * W / p ** 2, row by row as ViT tokens.

    Raises:
        ValueError: If the mask is not boolean or ``patch_size`` does not divide its size.
    """
    if mask.dtype != torch.bool or mask.dim() < 2:
        raise InputError(
            'mask must be a bool tensor of shape (..., H, W) '
            f'but is {mask.dtype} of shape {tuple(mask.shape)}.'
        )
    height, width = mask.shape[-2:]
    if patch_size < 1 or height % patch_size or width % patch_size:
        raise InputError(
            f'The mask size {height}x{width} is not a multiple of '
            f'patch_size={patch_size}; use the patch size of the backbone.'
        )
    # (..., h, p, w, p) -> (..., h, w) -> (..., N)
    cells = mask.unflatten(-1, (width // patch_size, patch_size))
    cells = cells.unflatten(-3, (height // patch_size, patch_size))
    corrupted = cells.sum(dim=(-3, -1), dtype=torch.int32)
    return (2 * corrupted >= patch_size**2).flatten(-2)


def touched_patches(mask: torch.Tensor, patch_size: int) -> torch.Tensor:
    """Places of the patches with a corrupted pixel, which is all that a reconstruction reads.

    Args:
        mask: Pixel masks (..., H, W), bool, True = corrupted.
        patch_size: Patch side p in pixels, a divisor of H and W.

    Returns:
        Rising places (R, ) int64 in the flattened (..., N). On a GPU the host waits for it:
        :class:`ViewDataPreprocessor` asks before the mask goes there.
    """
    rows = mask.flatten(0, -3).unflatten(-2, (-1, patch_size)).any(-2)  # (B,h,W)
    return rows.unflatten(-1, (-1, patch_size)).any(-1).flatten().nonzero().squeeze(1)


def _check_shapes(
    views: torch.Tensor, mask: torch.Tensor, alien: torch.Tensor, noise: torch.Tensor | None
) -> None:
    """Refuse shapes and dtypes that do not fit; looks at no value, so it never waits on a GPU."""
    if views.dim() != 5 or not views.is_floating_point():
        raise InputError(
            'views must be a floating point tensor of shape (V, B, C, H, W) '
            f'but is {views.dtype} of shape {tuple(views.shape)}.'
        )
    num_views, batch, _, height, width = views.shape
    for name, tensor, shape in (
        ('mask', mask, (num_views, batch, height, width)),
        ('alien', alien, (num_views, batch)),
    ):
        if tensor.dtype != torch.bool or tensor.shape != shape:
            raise InputError(
                f'{name} must be a bool tensor of shape {shape} to fit views of shape '
                f'{tuple(views.shape)} but is {tensor.dtype} of shape {tuple(tensor.shape)}.'
            )
    if noise is not None and (noise.shape != views.shape or noise.dtype != views.dtype):
        raise InputError(
            f'noise must be like views, {views.dtype} of shape {tuple(views.shape)}, '
            f'but is {noise.dtype} of shape {tuple(noise.shape)}.'
        )
