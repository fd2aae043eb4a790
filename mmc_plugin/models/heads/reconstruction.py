"""Reconstruction of the corrupted pixels (arXiv 2308.11448, §3)."""

from itertools import chain, pairwise

import torch
import torch.nn as nn
from mmengine.model import BaseModule
from mmpretrain.registry import MODELS

from ..utils.distributed import global_mean
from ..utils.patches import patchify, unpatchify


@MODELS.register_module()
class PixelReconstructionHead(BaseModule):
    """Pointwise MLP from each token to its p×p×C pixels.

    Args:
        in_channels (int): Width D of the tokens.
        patch_size (int): p, in pixels. Defaults to 16.
        hidden_channels (int): Width of the hidden layers. Defaults to 4096 (paper, §4); the SiT
            and GMML releases use D.
        hidden_layers (int): Layers before the last. Defaults to 2 (paper, §4); SiT release: 3.
        squared (bool): Square the errors, as the MC-SSL release does. Defaults to False: L1.
        image_channels (int): C. Defaults to 3; the key ``in_channels`` of a config sets it.
    """

    def __init__(
        self,
        in_channels: int,
        patch_size: int = 16,
        hidden_channels: int = 4096,
        hidden_layers: int = 2,
        squared: bool = False,
        image_channels: int = 3,
        init_cfg: dict | list | None = dict(type='TruncNormal', layer='Linear', std=0.02),
    ) -> None:
        super().__init__(init_cfg)
        self.patch_size = patch_size
        self.squared = squared
        self.image_channels = image_channels
        widths = [in_channels] + [hidden_channels] * hidden_layers
        hidden = [[nn.Linear(*pair), nn.GELU()] for pair in pairwise(widths)]
        self.layers = nn.Sequential(
            *chain.from_iterable(hidden), nn.Linear(widths[-1], image_channels * patch_size**2)
        )

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Predict pixels.

        Args:
            tokens (torch.Tensor): (..., N, D) patch tokens.

        Returns:
            torch.Tensor: (..., N, C*p*p) pixels in normalised space, laid out as
            :func:`patchify` does.
        """
        return self.layers(tokens)

    def to_image(self, pixels: torch.Tensor, height: int, width: int) -> torch.Tensor:
        """Put predicted pixels (B, N, C*p*p) together to images (B, C, height, width)."""
        return unpatchify(pixels, self.patch_size, height, width)

    def loss(
        self,
        pixels: torch.Tensor,
        images: torch.Tensor,
        mask: torch.Tensor,
        patches: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Mean error over the corrupted pixels: Σ m |x − x̃| / Σ m (paper, §3), or of squares.

        Args:
            pixels (torch.Tensor): (B, N, C*p*p) prediction, or (R, C*p*p) of some patches.
            images (torch.Tensor): (B, C, H, W) clean images in normalised space.
            mask (torch.Tensor): (B, H, W) bool, True = corrupted.
            patches (torch.Tensor, optional): (R, ) their places in (B * N, ), all with a corrupted
                pixel among them (:func:`touched_patches`). Defaults to None: all patches.

        Returns:
            torch.Tensor: Scalar, mean over the corrupted pixels of all processes and channels.
        """
        target = patchify(images, self.patch_size).flatten(0, 1)  # (B*N, C*p*p)
        weight = patchify(mask[:, None].float(), self.patch_size).flatten(0, 1)  # (B*N, p*p)
        if patches is not None:
            target, weight = target[patches], weight[patches]
        # fp32: a bf16 sum over millions of pixels would lose the small ones.
        error = pixels.float().view_as(target) - target
        error = error.square() if self.squared else error.abs()
        error = error.unflatten(-1, (self.image_channels, -1)).sum(-2)  # (R, p*p)
        return global_mean((error * weight).sum(), self.image_channels * weight.sum())
