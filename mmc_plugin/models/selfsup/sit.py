"""Self-supervised vision transformer (SiT, arXiv 2104.03602)."""

from __future__ import annotations

from typing import Any

import torch
from mmpretrain.registry import MODELS
from torch import Tensor

from ..utils.corruption import check_fill
from .base import StudentTeacher
from .checks import check_inputs, check_not_negative


@MODELS.register_module()
class SiT(StudentTeacher):
    """Reconstruct the corrupted pixels, match the class token with the teacher's across views.

    It is MMC without its patch loss. The release's teacher also follows the reconstruction head,
    which nothing reads; here it does not.

    Dimensions: V = 2 views, B images of a process, D token width, C width of the embeddings.

    Args:
        backbone (dict): A vision transformer of mmpretrain with ``out_type='raw'``.
        rec_head (dict): See :class:`PixelReconstructionHead`.
        cls_head (dict): See :class:`GlobalContrastHead`.
        rec_weight (float): λ. Defaults to 1; about 5 on small data [SiT release].
        fill (str): What corrupts what no other image fills: ``'zeros'`` or ``'noise'``. Defaults
            to 'zeros' [SiT release].
        **kwargs: Of :class:`StudentTeacher`: momenta, data preprocessor, initialisation.

    Raises:
        ValueError: For another fill, or a weight below 0.
    """

    def __init__(
        self,
        backbone: dict,
        rec_head: dict,
        cls_head: dict,
        rec_weight: float = 1.0,
        fill: str = 'zeros',
        **kwargs: Any,
    ) -> None:
        heads = dict(rec_head=rec_head, cls_head=cls_head)
        super().__init__(backbone, heads=heads, follows=('backbone', 'cls_head'), **kwargs)
        check_not_negative(rec_weight=rec_weight)
        check_fill(fill)
        self.rec_weight = rec_weight
        self.fill = fill

    def loss(self, inputs: dict, data_samples: list | None = None) -> dict[str, Tensor]:
        """L = 2τ [CE(q¹, K²) + CE(q², K¹)] + λ L_rec of a batch.

        Args:
            inputs (dict): Output of :class:`ViewDataPreprocessor`: ``views`` (V, B, 3, H, W)
                clean, ``mask`` (V, B, H, W), ``alien`` (V, B).
            data_samples (list, optional): Unused, of the host's interface.

        Returns:
            dict[str, Tensor]: ``loss_rec`` and ``loss_cls``, with their weights.
        """
        check_inputs(self, inputs, crops=False)
        views, corrupted = inputs['views'], self.seen(inputs).views
        student_cls, student_patch = self.encode(self.backbone, corrupted)  # (V,B,D), (V,B,N,D)
        with torch.no_grad():
            teacher_cls, _ = self.encode(self.teacher.backbone, views)
            keys = self.teacher.cls_head(teacher_cls, apart=True)  # (V,B,C)
        queries = self.cls_head(student_cls, apart=True)

        loss_rec = self.reconstruction_loss(student_patch, inputs)
        contrast = self.cls_head.loss
        loss_cls = contrast(queries[1], keys[0]) + contrast(queries[0], keys[1])
        return dict(
            loss_rec=self.rec_weight * loss_rec,
            loss_cls=2 * self.cls_head.temperature * loss_cls,
        )
