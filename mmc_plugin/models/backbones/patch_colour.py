"""Colours as features: what a learnt feature has to beat."""

from __future__ import annotations

import torch
from mmengine.model import BaseModule
from mmpretrain.registry import MODELS
from torch import Tensor
from torch.nn import functional as F


@MODELS.register_module()
class PatchColour(BaseModule):
    """The mean colour of each patch, in the place of a ViT's tokens. Nothing is learnt.

    Args:
        patch_size (int): Side of a patch in pixels. Defaults to 16.
    """

    def __init__(self, patch_size: int = 16) -> None:
        super().__init__()
        self.patch_size = patch_size
        self.embed_dims = 3

    def forward(self, images: Tensor) -> tuple[Tensor]:
        """Average the patches of images.

        Args:
            images (Tensor): (B, 3, H, W), H and W multiples of the patch size.

        Returns:
            tuple[Tensor]: One tensor (B, 1 + N, 3): the mean colour of the image, then those of
            its N patches row by row.
        """
        patches = F.avg_pool2d(images, self.patch_size).flatten(2).transpose(1, 2)
        return (torch.cat([patches.mean(1, keepdim=True), patches], 1),)
