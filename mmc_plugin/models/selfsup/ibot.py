"""Image BERT pretraining with an online tokenizer (iBOT, arXiv 2111.07832)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmpretrain.registry import MODELS
from torch import Tensor, nn

from ..losses.centering import Centering
from ..losses.patch_distillation import patch_cross_entropy
from ..losses.self_distillation import usage
from ..utils.corruption import patch_mask
from ..utils.epoch_ramp import EpochRamp
from .checks import check_hides_patches, check_inputs
from .dino import DINO
from .seen import Seen


@MODELS.register_module()
class IBOT(DINO):
    """DINO, and each hidden patch of the student predicts the teacher's of the same view.

    Dimensions: V = 2 global views, B images of a process, N patches, D token width.

    Args:
        backbone (dict): :class:`PretrainedViT` with ``out_type='raw'`` and ``frozen=False``, which
            can hide patches.
        head (dict): See :class:`PrototypeHead`.
        patch_temperature (float | Sequence[float]): τ_t of the patches, or its first and last
            value, reached in the same epochs as that of the class token. Defaults to
            (0.04, 0.07) [iBOT release].
        **kwargs: Of :class:`DINO`.
    """

    def __init__(
        self,
        backbone: dict,
        head: dict,
        patch_temperature: float | Sequence[float] = (0.04, 0.07),
        warmup_epochs: int = 30,
        **kwargs: Any,
    ) -> None:
        super().__init__(backbone, head, warmup_epochs=warmup_epochs, **kwargs)
        check_hides_patches(self, self.backbone)
        self.mask_token = nn.Parameter(torch.zeros(1, self.backbone.embed_dims))
        self.patch_centering = Centering(self.head.num_prototypes)
        self.patch_temperature = EpochRamp(
            patch_temperature, warmup_epochs, 'model.patch_temperature', below=self.temperature
        )

    def seen(self, inputs: Mapping, noise: Tensor | None = None) -> Seen:
        """The global views, with the patches that the mask token stands for."""
        check_inputs(self, inputs, 'mask', more=True)
        return Seen(inputs['views'], 'masked', patch_mask(inputs['mask'], self.patch_size))

    def loss(self, inputs: dict, data_samples: list | None = None) -> dict[str, Tensor]:
        """L = L_CLS + L_patch of a batch, with the masked patches m of each view u

        L_patch = ½ Σ_u mean_B [Σ_i m_i H(P_t,i^u, P_s,i^u) / max(1, Σ_i m_i)].

        Args:
            inputs (dict): Output of :class:`ViewDataPreprocessor`: ``views`` (V, B, 3, H, W),
                ``mask`` (V, B, H, W), optionally ``crops``, of each resolution (K, B, 3, h, w).
            data_samples (list, optional): Unused, of the host's interface.

        Returns:
            dict[str, Tensor]: ``loss_cls``, ``loss_patch``; and :func:`usage` of the teacher's
            distributions.
        """
        seen = self.seen(inputs)
        views, masked = seen.views, seen.hidden  # (V,B,3,H,W), (V,B,N)
        student_cls, student_patch = self.encode(
            self.backbone, views, masked, mask_token=self.mask_token
        )
        with torch.no_grad():
            teacher_cls, teacher_patch = self.encode(self.teacher.backbone, views)
        loss_cls, targets = self.distil(student_cls, teacher_cls, inputs)
        loss_patch = patch_cross_entropy(
            student_patch, teacher_patch, masked, self.head, self.teacher.head,
            self.patch_centering, self.temperature, self.patch_temperature(),
        )  # fmt: skip
        return dict(loss_cls=loss_cls, loss_patch=loss_patch, **usage(targets))
