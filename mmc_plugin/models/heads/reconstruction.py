"""Reconstruction of the corrupted pixels (arXiv 2308.11448, §3)."""

import torch
import torch.nn as nn
from mmengine.model import BaseModule
from mmpretrain.registry import MODELS

from ..utils.distributed import global_mean
from ..utils.patches import patchify, unpatchify


@MODELS.register_module()
class PixelReconstructionHead(BaseModule):
    """Pointwise three-layer MLP from each token to its p×p×3 pixels.

    Args:
        in_channels (int): Width D of the tokens.
        patch_size (int): p, in pixels. Defaults to 16.
        hidden_channels (int): Width of the hidden layers. Defaults to 4096 (paper, §4); the SiT
            and GMML releases use D.
    """

    def __init__(
        self,
        in_channels: int,
        patch_size: int = 16,
        hidden_channels: int = 4096,
        init_cfg: dict | list | None = dict(type='TruncNormal', layer='Linear', std=0.02),
    ) -> None:
        super().__init__(init_cfg)
        self.patch_size = patch_size
        self.layers = nn.Sequential(
            nn.Linear(in_channels, hidden_channels),
            nn.GELU(),
            nn.Linear(hidden_channels, hidden_channels),
            nn.GELU(),
            nn.Linear(hidden_channels, 3 * patch_size**2),
        )

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Predict pixels.

        Args:
            tokens (torch.Tensor): (..., N, D) patch tokens.

        Returns:
            torch.Tensor: (..., N, 3*p*p) pixels in normalised space, laid out as
            :func:`patchify` does.
        """
        return self.layers(tokens)

    def to_image(self, pixels: torch.Tensor, height: int, width: int) -> torch.Tensor:
        """Put predicted pixels (B, N, 3*p*p) together to images (B, 3, height, width)."""
        return unpatchify(pixels, self.patch_size, height, width)

    def loss(self, pixels: torch.Tensor, images: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """L1 over the corrupted pixels: Σ m |x − x̃| / Σ m (paper, §3).

        Args:
            pixels (torch.Tensor): (B, N, 3*p*p) prediction.
            images (torch.Tensor): (B, 3, H, W) clean images in normalised space.
            mask (torch.Tensor): (B, H, W) bool, True = corrupted.

        Returns:
            torch.Tensor: Scalar, mean over the corrupted pixels of all processes and channels.
        """
        target = patchify(images, self.patch_size)  # (B, N, 3*p*p)
        weight = patchify(mask[:, None].float(), self.patch_size)  # (B, N, p*p)
        # fp32: a bf16 sum over millions of pixels would lose the small ones.
        error = (pixels.float() - target).abs().unflatten(-1, (3, -1)).sum(-2)  # (B, N, p*p)
        return global_mean((error * weight).sum(), 3 * weight.sum())
