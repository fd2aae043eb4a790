"""From features of a masked view to those of a whole one (MaskCo, arXiv 2108.07954)."""

from __future__ import annotations

from mmengine.model import BaseModule
from mmpretrain.models.backbones.vision_transformer import TransformerEncoderLayer
from mmpretrain.registry import MODELS
from torch import Tensor, nn

from ...errors import InputError


@MODELS.register_module()
class MaskPredictionHead(BaseModule):
    """Transformer layers on the tokens of a view, and a norm.

    The paper's layers are unknown; two of the backbone's kind are ours.

    Args:
        in_channels (int): Width D of the tokens.
        num_heads (int): Of the attention.
        num_layers (int): Defaults to 2.

    Raises:
        ValueError: If the heads do not divide the width.
    """

    def __init__(
        self,
        in_channels: int,
        num_heads: int,
        num_layers: int = 2,
        init_cfg: dict | list | None = dict(type='TruncNormal', layer='Linear', std=0.02),
    ) -> None:
        super().__init__(init_cfg)
        if num_heads < 1 or in_channels % num_heads:
            raise InputError(
                f'num_heads of a MaskPredictionHead must divide in_channels={in_channels}, which '
                f'{num_heads} does not: set model.mask_head.num_heads to a divisor of it.'
            )
        self.in_channels = in_channels
        self.blocks = nn.Sequential(
            *(
                TransformerEncoderLayer(in_channels, num_heads, 4 * in_channels)
                for _ in range(num_layers)
            ),
            nn.LayerNorm(in_channels, eps=1e-6),
        )

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, N, D) → (B, N, D)."""
        return self.blocks(tokens)
