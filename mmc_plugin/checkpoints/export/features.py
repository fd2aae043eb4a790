"""The forward pass of a vision transformer in a form that can be traced for any image size."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class ExportedFeatures(nn.Module):
    """Class token and patch features of a :class:`PretrainedViT`, for programs without Python.

    It computes what the model does, but the positions are always resized: the question whether
    they have to be cannot be asked in a program that takes images of every size. Resized to their
    own grid they stay as they are.

    Args:
        model (PretrainedViT): Its parts become parts of this module, under their names.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.patch_embed = model.patch_embed
        self.cls_token = model.cls_token
        self.pos_embed = model.pos_embed
        self.registers = model.registers
        self.layers = model.layers
        self.ln1 = model.ln1 if model.final_norm else nn.Identity()
        self.grid = tuple(model.patch_resolution)
        self.mode = model.interpolate_mode
        self.antialias = model.pos_antialias

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Features of normalised images.

        Args:
            images (Tensor): (B, 3, H, W).

        Returns:
            tuple[Tensor, Tensor]: Class tokens (B, D) and patches (B, N, D), row by row.
        """
        x, grid = self.patch_embed(images)  # (B,N,D)
        x = x + self.patch_positions(grid)
        first = self.cls_token + self.pos_embed[:, :1]
        if self.registers is not None:
            first = torch.cat([first, self.registers], dim=1)  # (1,1+R,D)
        x = torch.cat([first.expand(x.shape[0], -1, -1), x], dim=1)  # (B,1+R+N,D)
        for layer in self.layers:
            x = layer(x)
        x = self.ln1(x)
        return x[:, 0], x[:, first.shape[1] :]

    def patch_positions(self, grid: tuple[int, int]) -> Tensor:
        """Positions (1, N, D) of the patches of a grid of that many rows and columns."""
        positions = self.pos_embed[:, 1:].unflatten(1, self.grid).permute(0, 3, 1, 2)  # (1,D,h,w)
        resized = F.interpolate(
            positions, size=tuple(grid), mode=self.mode, antialias=self.antialias
        )
        return resized.flatten(2).transpose(1, 2)
