"""Self-distillation with no labels (DINO, arXiv 2104.14294)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from mmpretrain.registry import MODELS
from torch import Tensor

from ..losses.centering import Centering
from ..losses.self_distillation import crossed_views, usage
from ..utils.epoch_ramp import EpochRamp
from .base import StudentTeacher
from .checks import check_head, check_inputs


@MODELS.register_module()
class DINO(StudentTeacher):
    """The student's class token of each view predicts the teacher's of each other view.

    Dimensions: V global views and crops, B images of a process, D token width, K prototypes.

    Args:
        backbone (dict): A vision transformer of mmpretrain with ``out_type='raw'``.
        head (dict): See :class:`PrototypeHead`.
        temperature (float): Of the student. Defaults to 0.1 [DINO release].
        teacher_temperature (float | Sequence[float]): τ_t, or its first and last value.
            Defaults to (0.04, 0.07) [DINO release].
        warmup_epochs (int): Epochs in which it rises. Defaults to 30 [DINO release].
        **kwargs: Of :class:`StudentTeacher`: momenta, data preprocessor, initialisation.

    Raises:
        ValueError: If the teacher would not be sharper than the student, or the head is of another
            kind.
    """

    def __init__(
        self,
        backbone: dict,
        head: dict,
        temperature: float = 0.1,
        teacher_temperature: float | Sequence[float] = (0.04, 0.07),
        warmup_epochs: int = 30,
        **kwargs: Any,
    ) -> None:
        heads = dict(head=head) | kwargs.pop('heads', {})
        super().__init__(backbone, heads=heads, follows=('backbone', 'head'), **kwargs)
        check_head(self, 'PrototypeHead', 'num_prototypes')
        self.temperature = temperature
        self.centering = Centering(self.head.num_prototypes)
        self.teacher_temperature = EpochRamp(
            teacher_temperature, warmup_epochs, 'model.teacher_temperature', below=temperature
        )

    def loss(self, inputs: dict, data_samples: list | None = None) -> dict[str, Tensor]:
        """The loss of a batch.

        Args:
            inputs (dict): Output of :class:`ViewDataPreprocessor`: ``views`` (V, B, 3, H, W),
                optionally ``crops``, of each resolution (K, B, 3, h, w).
            data_samples (list, optional): Unused, of the host's interface.

        Returns:
            dict[str, Tensor]: ``loss_cls``; and :func:`usage` of the teacher's distributions.
        """
        check_inputs(self, inputs, more=True)
        views = inputs['views']
        student, _ = self.encode(self.backbone, views)  # (V,B,D)
        with torch.no_grad():
            teacher, _ = self.encode(self.teacher.backbone, views)
        loss, targets = self.distil(student, teacher, inputs)
        return dict(loss_cls=loss, **usage(targets))

    def distil(self, student: Tensor, teacher: Tensor, inputs: dict) -> tuple[Tensor, Tensor]:
        """L_CLS = 1/(2(V − 1)) Σ_u Σ_{v ≠ u} mean_B H(P_t^u, P_s^v); moves the centre.

        Args:
            student (Tensor): Class tokens (2, B, D) of the student's global views.
            teacher (Tensor): (2, B, D), likewise, of the teacher's.
            inputs (dict): With the local ``crops`` of the student, if there are any.

        Returns:
            tuple[Tensor, Tensor]: The loss, and the teacher's distributions (2, B, K).
        """
        if 'crops' in inputs:
            student = torch.cat([student, self.encode_crops(inputs['crops'])])
        with torch.no_grad():
            logits = self.teacher.head(teacher)
            targets = self.centering(logits, self.teacher_temperature())
        loss = crossed_views(self.head(student), targets, self.temperature)
        self.centering.update(logits.flatten(0, 1).mean(0))
        return loss, targets
