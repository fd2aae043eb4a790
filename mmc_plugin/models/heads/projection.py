"""Projection MLP shared by the contrastive heads."""

from collections.abc import Sequence

import torch
import torch.nn as nn
import torch.nn.functional as F
from mmcv.cnn import build_activation_layer, build_norm_layer
from mmengine.model import BaseModule
from mmpretrain.registry import MODELS
from torch.nn.modules.batchnorm import _BatchNorm

from ...errors import InputError


@MODELS.register_module()
class ProjectionMLP(BaseModule):
    """Three-layer MLP onto the unit sphere.

    Linear-norm-act, Linear-norm-act, Linear-norm (no affine), L2. Hidden width 4096 and three
    layers are the paper's (arXiv 2308.11448, §4); the norms and the output width are those of the
    MC-SSL and MoCo-v3 releases.

    Batch norm takes its statistics over all rows of one call, so a patch head called with
    (B, N, D) normalises over B * N rows.

    Args:
        in_channels (int): Width D of the tokens.
        hidden_channels (int): Width of the two hidden layers. Defaults to 4096.
        out_channels (int): Width C of the embedding. Defaults to 256.
        norm_cfg (dict | None): Norm layer of mmcv on rows, e.g. ``BN1d`` or ``LN``; None leaves
            norms out. For several GPUs give the runner ``sync_bn='torch'``.
            Defaults to ``dict(type='BN1d')``.
        act_cfg (dict | Sequence[dict]): Activation layer, or one after each of the two hidden
            layers. Defaults to ``dict(type='GELU')``.
        last_norm (bool): Norm the embedding before its length becomes 1. Defaults to True.
    """

    def __init__(
        self,
        in_channels: int,
        hidden_channels: int = 4096,
        out_channels: int = 256,
        norm_cfg: dict | None = dict(type='BN1d'),
        act_cfg: dict | Sequence[dict] = dict(type='GELU'),
        last_norm: bool = True,
        init_cfg: dict | list | None = dict(type='TruncNormal', layer='Linear', std=0.02),
    ) -> None:
        super().__init__(init_cfg)
        self.out_channels = out_channels
        widths = (in_channels, hidden_channels, hidden_channels, out_channels)
        acts = [act_cfg] * 2 if isinstance(act_cfg, dict) else list(act_cfg)
        layers: list[nn.Module] = []
        for i, (fan_in, fan_out) in enumerate(zip(widths[:-1], widths[1:], strict=True)):
            last = i == len(widths) - 2
            # A norm has its own shift, so the layer before it needs no bias.
            normed = norm_cfg is not None and (last_norm or not last)
            layers.append(nn.Linear(fan_in, fan_out, bias=not normed))
            if normed:
                layers.append(_build_norm(norm_cfg, fan_out, affine=not last))
            if not last:
                layers.append(build_activation_layer(acts[i]))
        self.layers = nn.Sequential(*layers)

    def forward(self, tokens: torch.Tensor, apart: bool = False) -> torch.Tensor:
        """Project tokens.

        Args:
            tokens (torch.Tensor): (..., D).
            apart (bool): Batch norm takes its statistics over each of ``tokens`` (V, ..., D) by
                itself, as V calls would, whose large weights are read once. Defaults to False.

        Returns:
            torch.Tensor: (..., C), fp32, each row of length 1.

        Raises:
            ValueError: For one row in training with batch norm.
        """
        width = tokens.shape[-1]
        rows = tokens.reshape(len(tokens), -1, width) if apart else tokens.reshape(-1, width)
        if self.training and rows.shape[-2] == 1 and self._has_batch_norm():
            raise InputError(
                'A batch of one image cannot be normalised by batch norm: raise '
                'train_dataloader.batch_size, keep drop_last=True, or give the heads '
                "norm_cfg=dict(type='LN')."
            )
        for layer in self.layers:
            if apart and isinstance(layer, _BatchNorm):
                rows = torch.stack([layer(view) for view in rows])
            else:
                rows = layer(rows)
        rows = F.normalize(rows.float(), dim=-1)
        return rows.view(*tokens.shape[:-1], -1)

    def _has_batch_norm(self) -> bool:
        return any(isinstance(layer, _BatchNorm) for layer in self.layers)


def _build_norm(norm_cfg: dict, channels: int, affine: bool) -> nn.Module:
    cfg = dict(norm_cfg)
    if not affine:
        # torch names the same switch differently for batch norm and layer norm.
        cfg['elementwise_affine' if cfg['type'] == 'LN' else 'affine'] = False
    return build_norm_layer(cfg, channels)[1]
