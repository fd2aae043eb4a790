"""The feature pyramid of a plain vision transformer."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn as nn
import torch.nn.functional as F
from mmengine.model import BaseModule
from mmpretrain.models.utils import LayerNorm2d
from mmpretrain.registry import MODELS
from torch import Tensor

from ...errors import InputError

SCALES = 4  # maps 4, 2, 1 and 1/2 times as large as the input


@MODELS.register_module()
class SimpleFPN(BaseModule):
    """Maps of several sizes from the map or maps of one size (ViTDet, arXiv 2203.16527, §3).

    Deconvolutions, identity and max-pooling make maps 4, 2, 1 and 1/2 times as large; each goes
    through a 1×1 and a 3×3 convolution with layer norm over channels. Further maps take every
    second pixel of the map before. From patches of 16 pixels the strides are 4, 8, 16, 32, 64.

    Args:
        in_channels (int | Sequence[int]): Of the map, or of 4 maps of which each gets its own
            scale (iBOT, arXiv 2111.07832: layers 3, 5, 7, 11 with scales 4, 2, 1, 1/2).
        out_channels (int): Defaults to 256.
        num_outs (int): Maps to return, at least 4. Defaults to 5.
    """

    def __init__(
        self, in_channels: int | Sequence[int], out_channels: int = 256, num_outs: int = 5
    ) -> None:
        super().__init__()
        channels = [in_channels] if isinstance(in_channels, int) else list(in_channels)
        if len(channels) not in (1, SCALES):
            raise InputError(f'SimpleFPN takes 1 map or {SCALES}, got in_channels={in_channels}.')
        if num_outs < SCALES:
            raise InputError(f'SimpleFPN.num_outs must be at least {SCALES}, got {num_outs}.')
        self.num_ins = len(channels)
        self.num_outs = num_outs
        four, two, one, half = channels * (SCALES // len(channels))
        self.resize = nn.ModuleList([
            nn.Sequential(
                nn.ConvTranspose2d(four, four // 2, 2, 2),
                LayerNorm2d(four // 2, eps=1e-6),
                nn.GELU(),
                nn.ConvTranspose2d(four // 2, four // 4, 2, 2),
            ),
            nn.ConvTranspose2d(two, two // 2, 2, 2),
            nn.Identity(),
            nn.MaxPool2d(2, 2),
        ])  # fmt: skip
        self.convs = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(width, out_channels, 1, bias=False),
                LayerNorm2d(out_channels, eps=1e-6),
                nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False),
                LayerNorm2d(out_channels, eps=1e-6),
            )
            for width in (four // 4, two // 2, one, half)
        )

    def forward(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Make the pyramid.

        Args:
            inputs (Sequence[Tensor]): 1 or 4 maps (B, C, h, w), as ``in_channels`` says.

        Returns:
            tuple[Tensor, ...]: ``num_outs`` maps (B, out_channels, ...), the largest first.

        Raises:
            ValueError: If there are other than these, of several sizes, or too small to be halved.
        """
        sizes = [tuple(each.shape[-2:]) for each in inputs]
        if len(inputs) != self.num_ins or len(set(sizes)) != 1:
            raise InputError(
                f'SimpleFPN takes {self.num_ins} maps of one size and got the sizes {sizes}: '
                'set out_indices of the backbone and in_channels of the neck to fit.'
            )
        if min(sizes[0]) < 2:
            raise InputError(
                f'SimpleFPN cannot halve a map of {sizes[0][0]}×{sizes[0][1]} patches: '
                'images must have at least 2×2. Enlarge them (Resize in the pipeline) or pad '
                'them (pad_size_divisor of the data_preprocessor).'
            )
        maps = list(inputs) * (SCALES // self.num_ins)
        outs = [conv(resize(each)) for conv, resize, each in zip(self.convs, self.resize, maps)]
        while len(outs) < self.num_outs:
            outs.append(F.max_pool2d(outs[-1], 1, 2))
        return tuple(outs)
