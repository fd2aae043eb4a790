"""Centred and sharpened distributions of a teacher (DINO, arXiv 2104.14294, §3)."""

from __future__ import annotations

import torch
from mmengine.dist import all_reduce, get_world_size
from torch import Tensor, nn

_MOMENTUM = 0.9  # of the centre [DINO, iBOT and MC-SSL releases]


class Centering(nn.Module):
    """p = softmax((logits − c) / τ), where the centre c follows the mean of the logits.

    The centre keeps one prototype from taking all, the low temperature keeps all from being alike.

    Args:
        num_prototypes (int): K.
    """

    def __init__(self, num_prototypes: int) -> None:
        super().__init__()
        self.register_buffer('center', torch.zeros(num_prototypes))

    @torch.no_grad()
    def forward(
        self, logits: Tensor, temperature: Tensor | float, center: Tensor | None = None
    ) -> Tensor:
        """Distributions (..., K), float32.

        Args:
            logits (Tensor): (..., K), of the teacher.
            temperature (Tensor | float): τ, a scalar.
            center (Tensor, optional): (K, ), instead of the present one.
        """
        center = self.center if center is None else center
        return ((logits.float() - center) / temperature).softmax(-1)

    @torch.no_grad()
    def update(self, mean: Tensor) -> None:
        """Move the centre towards the mean (K, ) of a batch of this process, averaged over all.

        It is called after the loss, which sees the centre of the steps before.
        """
        mean = mean.float().contiguous()
        all_reduce(mean)
        self.center.lerp_(mean / get_world_size(), 1 - _MOMENTUM)
