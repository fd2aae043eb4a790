"""Scores of tokens against prototypes (DINO, iBOT and MC-SSL releases)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from mmpretrain.registry import MODELS
from torch import Tensor, nn

from ...errors import InputError


class EmbeddingMLP(nn.Sequential):
    """The layers before the prototypes; a class of its own, which sharding can name."""


class PrototypeLayer(nn.Module):
    """K prototypes: rows of length 1, or of a length that is learned.

    Its parameters hold the name ``last_layer`` where a head calls it so, and
    :class:`FreezeHook` finds them by it. It gives the prototypes and not the dot products, so that
    all blocks of rows share one call: where the layer is sharded, each call waits for all
    processes, and these have different numbers of blocks.

    Args:
        in_channels (int): C.
        num_prototypes (int): K.
        train_length (bool): Learn the lengths, which begin with 1. Defaults to False.
    """

    def __init__(self, in_channels: int, num_prototypes: int, train_length: bool = False) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(num_prototypes, in_channels))
        nn.init.trunc_normal_(self.weight, std=0.02)
        self.length = nn.Parameter(torch.ones(num_prototypes, 1)) if train_length else None

    def forward(self) -> Tensor:
        """The prototypes (K, C)."""
        unit = F.normalize(self.weight, dim=1)
        return unit if self.length is None else unit * self.length


@MODELS.register_module()
class PrototypeHead(BaseModule):
    """Three-layer MLP onto the unit sphere, then dot products with prototypes.

    Linear-GELU, Linear-GELU, Linear, L2, prototypes of length 1; no batch norm [DINO release].

    Args:
        in_channels (int): Width D of the tokens.
        num_prototypes (int): K.
        hidden_channels (int): Defaults to 2048 [DINO release].
        out_channels (int): Width C of the embedding. Defaults to 256 [DINO release].
        separate_patches (bool): Prototypes of their own for patch tokens. Defaults to False.
        train_length (bool): Learn the prototypes' lengths; the releases do so for ViT-S
            (``norm_last_layer false``). Defaults to False.

    Raises:
        ValueError: For fewer than two prototypes, which tell nothing apart.
    """

    def __init__(
        self,
        in_channels: int,
        num_prototypes: int,
        hidden_channels: int = 2048,
        out_channels: int = 256,
        separate_patches: bool = False,
        train_length: bool = False,
        init_cfg: dict | list | None = dict(type='TruncNormal', layer='Linear', std=0.02),
    ) -> None:
        super().__init__(init_cfg)
        if num_prototypes < 2:
            raise InputError(f'A head needs num_prototypes of at least 2, got {num_prototypes}.')
        self.num_prototypes = num_prototypes
        self.layers = EmbeddingMLP(
            nn.Linear(in_channels, hidden_channels),
            nn.GELU(),
            nn.Linear(hidden_channels, hidden_channels),
            nn.GELU(),
            nn.Linear(hidden_channels, out_channels),
        )
        self.last_layer = PrototypeLayer(out_channels, num_prototypes, train_length)
        self.patch_last_layer = None
        if separate_patches:
            self.patch_last_layer = PrototypeLayer(out_channels, num_prototypes, train_length)

    def embed(self, tokens: Tensor) -> Tensor:
        """Tokens (..., D) → rows (..., C) of length 1, float32."""
        return F.normalize(self.layers(tokens).float(), dim=-1)

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits (..., K) of class tokens (..., D)."""
        return F.linear(self.embed(tokens), self.last_layer())

    def patch_prototypes(self) -> Tensor:
        """Those (K, C) of patch tokens, whose dot products with their embedding are the logits.

        The logits are linear: those of a mean are the mean of those.
        """
        return (self.last_layer if self.patch_last_layer is None else self.patch_last_layer)()
