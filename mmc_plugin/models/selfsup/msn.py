"""Masked Siamese networks (MSN, arXiv 2204.07141)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.dist import get_world_size
from mmpretrain.registry import MODELS
from torch import Tensor, nn

from ...errors import InputError
from ..losses.self_distillation import cross_entropy, mean_entropy_gap, sinkhorn, usage
from ..utils.epoch_ramp import EpochRamp
from .base import StudentTeacher
from .checks import check_head, check_hides_patches, check_inputs, check_not_negative
from .seen import Seen


@MODELS.register_module()
class MSN(StudentTeacher):
    """Class tokens of views with dropped patches match the teacher's over learned prototypes.

    Dimensions: A anchors, B images of a process, D token width, C width of the embedding,
    K prototypes.

    Args:
        backbone (dict): :class:`PretrainedViT` with ``out_type='raw'`` and ``frozen=False``, which
            can drop patches.
        head (dict): See :class:`ProjectionMLP`.
        num_prototypes (int): K. Defaults to 1024 [MSN release].
        temperature (float): τ of the cosines. Defaults to 0.1 [MSN release].
        sharpening (float | Sequence[float]): T, or its first and last value: targets are raised to
            the power 1 / T. Defaults to 0.25 [MSN release].
        warmup_epochs (int): Epochs in which T goes from the first to the last. Defaults to 0.
        sinkhorn_rounds (int): Of :func:`sinkhorn` on the targets; 0 for none. Defaults to 3
            [MSN release].
        entropy_weight (float): λ of the mean entropy. Defaults to 1 [MSN release].
        **kwargs: Of :class:`StudentTeacher`: momenta, data preprocessor, initialisation.

    Raises:
        ValueError: If a value is out of range, the backbone cannot drop patches, or the head is of
            another kind.
    """

    def __init__(
        self,
        backbone: dict,
        head: dict,
        num_prototypes: int = 1024,
        temperature: float = 0.1,
        sharpening: float | Sequence[float] = 0.25,
        warmup_epochs: int = 0,
        sinkhorn_rounds: int = 3,
        entropy_weight: float = 1.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(backbone, heads=dict(head=head), follows=('backbone', 'head'), **kwargs)
        if num_prototypes < 2 or not 0 < temperature < math.inf:
            raise InputError(
                'MSN needs num_prototypes of at least 2 and a positive temperature, got '
                f'{num_prototypes} and {temperature}.'
            )
        check_not_negative(sinkhorn_rounds=sinkhorn_rounds, entropy_weight=entropy_weight)
        check_hides_patches(self, self.backbone)
        check_head(self, 'ProjectionMLP', 'out_channels')
        width = self.head.out_channels
        bound = width**-0.5  # 1/16 for the release's 256
        self.prototypes = nn.Parameter(torch.empty(num_prototypes, width).uniform_(-bound, bound))
        self.prototypes.clipped = False  # [MSN release]
        self.temperature = temperature
        self.sharpening = EpochRamp(sharpening, warmup_epochs, 'model.sharpening', below=1)
        self.sinkhorn_rounds, self.entropy_weight = sinkhorn_rounds, entropy_weight

    def kept(self, inputs: Mapping) -> Tensor:
        """Places (M, ) of the anchor's patches that are left: the first image's, for the batch."""
        check_inputs(self, inputs, 'keep')
        return inputs['keep'][1, 0]

    def seen(self, inputs: Mapping, noise: Tensor | None = None) -> Seen:
        """The anchor, with the patches that are dropped."""
        anchor = inputs['views'][1:]
        patches = anchor.shape[-2] * anchor.shape[-1] // self.patch_size**2
        hidden = torch.ones(1, anchor.shape[1], patches, dtype=torch.bool, device=anchor.device)
        hidden[..., self.kept(inputs)] = False
        return Seen(anchor, 'dropped', hidden, first=1)

    def loss(self, inputs: dict, data_samples: list | None = None) -> dict[str, Tensor]:
        """L = mean H(p⁺, p) + λ (ln K − H(p̄)) of a batch.

        Args:
            inputs (dict): Output of :class:`ViewDataPreprocessor`: ``views`` (2, B, 3, H, W), the
                target and the anchor; ``keep`` (2, B, M), the anchor's patches that are left: those
                of the first image hold for the batch [MSN release]; optionally ``crops``, of each
                resolution (K, B, 3, h, w), anchors whose patches are all left.
            data_samples (list, optional): Unused, of the host's interface.

        Returns:
            dict[str, Tensor]: ``loss_match``, ``loss_entropy``, and :func:`usage` of the targets.
        """
        keep = self.kept(inputs)
        target, anchor = inputs['views']
        anchors, _ = self.encode(self.backbone, anchor, keep=keep)  # (B,D)
        anchors = anchors[None]
        if 'crops' in inputs:
            anchors = torch.cat([anchors, self.encode_crops(inputs['crops'])])  # (A,B,D)
        with torch.no_grad():
            tokens, _ = self.encode(self.teacher.backbone, target)
            targets = self.scores(self.teacher.head(tokens))  # (B,K)
            targets = (targets / self.sharpening()).softmax(-1)  # p^{1/T} / Σ p^{1/T}
            if self.sinkhorn_rounds:
                targets = sinkhorn(targets, self.sinkhorn_rounds)
        scores = self.scores(self.head(anchors))  # (A,B,K)

        loss_match = cross_entropy(scores, targets, temperature=1.0).mean()
        loss_entropy = mean_entropy_gap(scores.softmax(-1))
        return dict(
            loss_match=loss_match,
            loss_entropy=self.entropy_weight * loss_entropy,
            **usage(targets),
        )

    def scores(self, rows: Tensor) -> Tensor:
        """Cosines with the prototypes over τ, float32: (..., C) → (..., K).

        The prototypes' gradient is summed over processes, where data parallelism averages [MSN
        release]. No hook of the parameter does that: a sharded model's never gets a gradient.
        """
        prototypes = self.prototypes
        more = get_world_size() - 1
        if more:
            prototypes = prototypes + more * (prototypes - prototypes.detach())
        with torch.autocast(rows.device.type, enabled=False):
            rows = F.normalize(rows.float(), dim=-1)
            return F.linear(rows, F.normalize(prototypes, dim=-1)) / self.temperature
