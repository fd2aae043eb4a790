"""Multi-concept self-supervised learning (MC-SSL, arXiv 2111.15340)."""

from __future__ import annotations

from typing import Any

import torch
from mmpretrain.registry import MODELS
from torch import Tensor

from ..losses.centering import Centering
from ..losses.patch_distillation import patch_cross_entropy
from ..losses.self_distillation import usage
from ..utils.corruption import check_fill
from .checks import check_inputs
from .dino import DINO


@MODELS.register_module()
class MCSSL(DINO):
    """DINO on corrupted views, all patches distilled, corrupted pixels reconstructed.

    Dimensions: V = 2 global views, B images of a process, N patches, D token width.

    Args:
        backbone (dict): A vision transformer of mmpretrain with ``out_type='raw'``.
        head (dict): See :class:`PrototypeHead`.
        rec_head (dict): See :class:`PixelReconstructionHead`.
        fill (str): What corrupts what no other image fills: ``'zeros'`` or ``'noise'``. Defaults
            to 'zeros' [MC-SSL release].
        **kwargs: Of :class:`DINO`; both class token and patches use its teacher temperature.

    Raises:
        ValueError: For another fill.
    """

    def __init__(
        self, backbone: dict, head: dict, rec_head: dict, fill: str = 'zeros', **kwargs: Any
    ) -> None:
        super().__init__(backbone, head, heads=dict(rec_head=rec_head), **kwargs)
        check_fill(fill)
        self.fill = fill
        self.patch_centering = Centering(self.head.num_prototypes)

    def loss(self, inputs: dict, data_samples: list | None = None) -> dict[str, Tensor]:
        """L = L_CLS + L_patch + L_rec of a batch.

        Args:
            inputs (dict): Output of :class:`ViewDataPreprocessor`: ``views`` (V, B, 3, H, W)
                clean, ``mask`` (V, B, H, W), ``alien`` (V, B), optionally ``crops``, of each
                resolution (K, B, 3, h, w).
            data_samples (list, optional): Unused, of the host's interface.

        Returns:
            dict[str, Tensor]: ``loss_cls``, ``loss_patch``, ``loss_rec``; and :func:`usage` of
            the teacher's distributions.
        """
        check_inputs(self, inputs, more=True)
        views, corrupted = inputs['views'], self.seen(inputs).views
        student_cls, student_patch = self.encode(self.backbone, corrupted)  # (V,B,D), (V,B,N,D)
        with torch.no_grad():
            teacher_cls, teacher_patch = self.encode(self.teacher.backbone, views)

        loss_cls, targets = self.distil(student_cls, teacher_cls, inputs)
        loss_patch = patch_cross_entropy(
            student_patch, teacher_patch, None,
            self.head, self.teacher.head, self.patch_centering, self.temperature,
            self.teacher_temperature(),
        )  # fmt: skip
        loss_rec = self.reconstruction_loss(student_patch, inputs)
        return dict(loss_cls=loss_cls, loss_patch=loss_patch, loss_rec=loss_rec, **usage(targets))
