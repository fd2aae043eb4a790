"""A vision transformer for large images: attention in windows, maps for a feature pyramid."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmpretrain.models.utils import MultiheadAttention
from mmpretrain.registry import MODELS
from torch import Tensor

from ...errors import InputError
from .pretrained_vit import PretrainedViT


@MODELS.register_module()
class DetectionViT(PretrainedViT):
    """:class:`PretrainedViT` for detectors: maps of images of any size, attention in windows.

    Images are padded with zeros, below and on the right, to whole patches; the maps cover them.
    In layers other than ``global_layers`` a patch attends to its window, the class token and the
    registers, and these attend to everything (ViTDet, arXiv 2203.16527, §3, which has neither of
    these tokens; its relative positions are left out, as pretrained ViTs have none). Weights and
    their names are those of :class:`PretrainedViT`, so that any checkpoint serves both.

    Args:
        *args: Of :class:`PretrainedViT`.
        window_size (int): Patches on a side of a window, 14 in ViTDet. Defaults to 0: each layer
            attends globally, and features are those of :class:`PretrainedViT`.
        global_layers (Sequence[int]): Layers without windows, from 0; negative ones count from the
            end. ViTDet has the last of each quarter, (2, 5, 8, 11) of 12.
        **kwargs: Of :class:`PretrainedViT`, but for ``out_type``, which is ``'featmap'``.

    Raises:
        ValueError: If a global layer does not exist, or there are some without windows.
    """

    def __init__(
        self, *args: Any, window_size: int = 0, global_layers: Sequence[int] = (), **kwargs: Any
    ) -> None:
        super().__init__(*args, out_type='featmap', **kwargs)
        layers = range(self.num_layers)
        if window_size < 0 or (global_layers and not window_size):
            raise InputError(
                f'DetectionViT got window_size={window_size} with global_layers='
                f'{list(global_layers)}: windows have at least 1 patch a side, and without them '
                '(window_size=0) all layers are global.'
            )
        for index in global_layers:
            if not -len(layers) <= index < len(layers):
                raise InputError(
                    f'global_layers asks for layer {index}, but the backbone has {len(layers)}, '
                    f'0 to {len(layers) - 1}.'
                )
        self.window_size = window_size
        self.global_layers = {layers[index] for index in global_layers}

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Maps of normalised images.

        Args:
            x (Tensor): (B, 3, H, W).

        Returns:
            tuple[Tensor, ...]: For each of ``out_indices`` (B, D, ⌈H / p⌉, ⌈W / p⌉), p the patch
            size.
        """
        rows, columns = self.patch_embed.projection.kernel_size
        return super().forward(F.pad(x, (0, -x.shape[-1] % columns, 0, -x.shape[-2] % rows)))

    def _layer(self, index: int, x: Tensor, size: Sequence[int]) -> Tensor:
        layer = self.layers[index]
        if index in self.global_layers or not 0 < self.window_size < max(size):
            return layer(x)
        x = x + window_attention(layer.attn, layer.ln1(x), size, self.window_size)
        return layer.ffn(layer.ln2(x), identity=x)


def window_attention(
    attn: MultiheadAttention, x: Tensor, size: Sequence[int], window: int
) -> Tensor:
    """Self-attention of patches within windows, of the tokens before them with everything.

    Args:
        attn (MultiheadAttention): mmpretrain's, whose projections, layer scale and drop path act.
        x (Tensor): (B, P + h·w, D), P tokens without a place and a grid row by row.
        size (Sequence[int]): h and w.
        window (int): Patches on a side; windows at the end are cut where these do not divide.

    Returns:
        Tensor: (B, P + h·w, D); ``attn(x)`` where one window covers the grid.
    """
    batch, tokens, dims = x.shape
    height, width = size
    before = tokens - height * width  # P
    qkv = attn.qkv(x).unflatten(2, (3, attn.num_heads, -1)).permute(2, 0, 3, 1, 4)  # (3,B,H,P+N,d)
    drop = attn.attn_drop if attn.training else 0.0
    alone = F.scaled_dot_product_attention(*_first(qkv, before), dropout_p=drop)  # (B,H,P,d)

    pad = 0, 0, 0, -width % window, 0, -height % window
    grid = F.pad(qkv[..., before:, :].unflatten(3, (height, width)), pad)
    rows, columns = grid.shape[3] // window, grid.shape[4] // window
    inside = torch.ones(height, width, dtype=torch.bool, device=x.device)
    inside = _windows(F.pad(inside, pad[2:])[..., None], window)[..., 0]  # (W,w²)
    grid = _windows(grid, window).movedim(3, 2).flatten(1, 2)  # (3,B·W,H,w²,d)
    shared = qkv[1:, :, None, :, :before].expand(-1, -1, rows * columns, -1, -1, -1).flatten(1, 2)
    keys, values = torch.cat([shared, grid[1:]], dim=3)  # (B·W,H,P+w²,d)
    mask = None
    if any(pad):
        # A patch outside the image is no key; before the windows stand keys that always are.
        mask = F.pad(inside, (before, 0), value=True).repeat(batch, 1)[:, None, None]
    out = F.scaled_dot_product_attention(grid[0], keys, values, mask, dropout_p=drop)
    out = out.reshape(batch, rows, columns, attn.num_heads, window, window, -1)
    out = out.permute(0, 3, 1, 4, 2, 5, 6).flatten(4, 5).flatten(2, 3)  # (B,H,h',w',d)
    out = torch.cat([alone, out[:, :, :height, :width].flatten(2, 3)], dim=2)
    out = attn.proj(out.transpose(1, 2).reshape(batch, tokens, dims))
    return attn.out_drop(attn.gamma1(attn.proj_drop(out)))


def _first(qkv: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """Queries of the first tokens, keys and values of all."""
    return qkv[0, :, :, :count], qkv[1], qkv[2]


def _windows(grid: Tensor, side: int) -> Tensor:
    """Cut (…, h, w, d) into windows, (…, h·w / side², side², d), row by row."""
    cut = grid.unflatten(-3, (-1, side)).unflatten(-2, (-1, side))  # (…,r,s,c,s,d)
    return cut.transpose(-4, -3).flatten(-5, -4).flatten(-3, -2)
