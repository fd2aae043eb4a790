"""Masked Momentum Contrastive learning (arXiv 2308.11448)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from mmpretrain.registry import MODELS
from torch import Tensor

from ...errors import InputError
from ..utils.corruption import patch_mask
from .base import StudentTeacher
from .checks import check_inputs

LOSSES = ('rec', 'patch', 'cls')


@MODELS.register_module()
class MMC(StudentTeacher):
    """Masked Momentum Contrastive learning of a vision transformer.

    L = λ_rec L_rec + λ_patch L_patch + λ_cls L_cls: reconstruct the corrupted pixels, match each
    patch with the teacher's in the same view, match the class token with the teacher's in the
    other view (paper, §3). A loss of weight 0 has no head, no graph and costs nothing.

    Dimensions: V = 2 global views, B images of a process, N patches, D token width, C width of
    the embeddings.

    Args:
        backbone (dict): A vision transformer of mmpretrain with ``out_type='raw'``.
        rec_head (dict): See :class:`PixelReconstructionHead`.
        patch_head (dict): See :class:`PatchContrastHead`.
        cls_head (dict): See :class:`GlobalContrastHead`.
        loss_weights (dict): λ of ``rec``, ``patch`` and ``cls``. Default to 1.
        **kwargs: Of :class:`StudentTeacher`: momenta, data preprocessor, initialisation.
    """

    fill = 'noise'

    def __init__(
        self,
        backbone: dict,
        rec_head: dict,
        patch_head: dict,
        cls_head: dict,
        loss_weights: dict | None = None,
        **kwargs: Any,
    ) -> None:
        weights = _check_weights(loss_weights)
        heads = dict(rec_head=rec_head, patch_head=patch_head, cls_head=cls_head)
        super().__init__(
            backbone,
            heads={f'{loss}_head': heads[f'{loss}_head'] if weights[loss] else None
                   for loss in LOSSES},
            follows=('backbone', 'patch_head', 'cls_head'),
            **kwargs,
        )  # fmt: skip
        self.loss_weights = weights

    def loss(self, inputs: dict, data_samples: list | None = None) -> dict[str, Tensor]:
        """The losses of a batch.

        Args:
            inputs (dict): Output of :class:`ViewDataPreprocessor`: ``views`` (V, B, 3, H, W)
                clean, ``mask`` (V, B, H, W), ``alien`` (V, B), optionally ``touched`` and
                ``crops``, of each resolution (K, B, 3, h, w).
            data_samples (list, optional): Unused, of the host's interface.

        Returns:
            dict[str, Tensor]: ``loss_rec``, ``loss_patch``, ``loss_cls`` as far as their
            weights are not 0; scalars, means over the views, times their weights.
        """
        crossed = self.cls_head is not None  # the other losses look at each view by itself
        check_inputs(self, inputs, views=2 if crossed else 1, more=True)
        corrupted = self.seen(inputs).views
        views, mask = inputs['views'], inputs['mask']

        student_cls, student_patch = self.encode(self.backbone, corrupted)  # (V,B,D), (V,B,N,D)
        losses = dict()

        if self.rec_head is not None:
            losses['loss_rec'] = self.reconstruction_loss(student_patch, inputs)

        if self.patch_head is not None or self.cls_head is not None:
            with torch.no_grad():
                teacher_cls, teacher_patch = self.encode(self.teacher.backbone, views)

        if self.patch_head is not None:
            masked = patch_mask(mask, self.patch_size)  # (V,B,N)
            losses['loss_patch'] = _mean(  # of each view: batch norm sees one view's distribution
                self.patch_head.loss(
                    self.patch_head(self.patch_head.choose(z, m)), self.teacher.patch_head(t), m
                )
                for z, t, m in zip(student_patch, teacher_patch, masked, strict=True)
            )

        if self.cls_head is not None:
            queries = self.cls_head(student_cls, apart=True)  # (V,B,C)
            keys = self.teacher.cls_head(teacher_cls, apart=True)
            local = queries[:0]
            if 'crops' in inputs:  # local crops: not corrupted, against both teacher views
                local = self.cls_head(self.encode_crops(inputs['crops']))  # (K,B,C)
            losses['loss_cls'] = _mean(
                self.cls_head.loss(torch.cat([queries[:v], queries[v + 1 :], local]), keys[v])
                for v in range(len(views))  # crossed views: the student's others, the teacher's v
            )

        return {
            name: self.loss_weights[name.removeprefix('loss_')] * loss
            for name, loss in losses.items()
        }


def _mean(losses: Iterable[Tensor]) -> Tensor:
    return torch.stack(list(losses)).mean()


def _check_weights(weights: dict | None) -> dict[str, float]:
    weights = dict.fromkeys(LOSSES, 1.0) | dict(weights or {})
    unknown = sorted(set(weights) - set(LOSSES))
    if unknown:
        raise InputError(f'loss_weights knows {", ".join(LOSSES)}, not {", ".join(unknown)}.')
    if min(weights.values()) < 0 or max(weights.values()) <= 0:
        raise InputError(f'loss_weights must not be negative and not all 0, got {weights}.')
    return weights
