"""Masked Momentum Contrastive learning (arXiv 2308.11448)."""

import torch
import torch.nn as nn
from mmpretrain.models.selfsup.base import BaseSelfSupervisor
from mmpretrain.registry import MODELS

from ..utils.corruption import corrupt, patch_mask
from ..utils.momentum_teacher import MomentumTeacher

HEADS = dict(rec='rec_head', patch='patch_head', cls='cls_head')


@MODELS.register_module()
class MMC(BaseSelfSupervisor):
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
        data_preprocessor (dict, optional): See :class:`ViewDataPreprocessor`.
        init_cfg (dict, optional): Initialisation of the whole model.
    """

    def __init__(
        self,
        backbone: dict,
        rec_head: dict,
        patch_head: dict,
        cls_head: dict,
        loss_weights: dict | None = None,
        data_preprocessor: dict | None = None,
        init_cfg: dict | list | None = None,
    ) -> None:
        preprocessor = dict(type='ViewDataPreprocessor') | dict(data_preprocessor or {})
        super().__init__(backbone, data_preprocessor=preprocessor, init_cfg=init_cfg)
        self.loss_weights = _check_weights(loss_weights)
        self.patch_size = _check_backbone(self.backbone)
        heads = dict(rec=rec_head, patch=patch_head, cls=cls_head)
        for loss, name in HEADS.items():
            head = MODELS.build(heads[loss]) if self.loss_weights[loss] > 0 else None
            setattr(self, name, head)
            _check_head(name, head, self.backbone, self.patch_size)
        self.teacher = MomentumTeacher(self._followed())

    def _followed(self) -> dict[str, nn.Module]:
        """The modules of the student that the teacher follows."""
        modules = dict(backbone=self.backbone, patch_head=self.patch_head, cls_head=self.cls_head)
        return {name: module for name, module in modules.items() if module is not None}

    def init_weights(self) -> None:
        """Initialise the student and let the teacher start as its copy."""
        super().init_weights()
        self.teacher.copy_from(self._followed())

    def update_teacher(self, momentum: float) -> None:
        """Move the teacher; :class:`MomentumTeacherHook` calls it after each optimiser step."""
        self.teacher.update(self._followed(), momentum)

    def encode(
        self, backbone: nn.Module, images: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Tokens of the last layer after its norm, in one forward.

        Args:
            backbone (nn.Module): That of the student or of the teacher.
            images (torch.Tensor): (..., 3, H, W), normalised; any leading dimensions.

        Returns:
            tuple[torch.Tensor, torch.Tensor]: Class tokens (..., D), patch tokens (..., N, D).
        """
        tokens = backbone(images.flatten(0, -4))[-1]
        tokens = tokens.unflatten(0, images.shape[:-3])
        extra = backbone.num_extra_tokens
        return tokens[..., 0, :], tokens[..., extra:, :]

    def loss(self, inputs: dict, data_samples: list | None = None) -> dict[str, torch.Tensor]:
        """The losses of a batch.

        Args:
            inputs (dict): Output of :class:`ViewDataPreprocessor`: ``views`` (V, B, 3, H, W)
                clean, ``mask`` (V, B, H, W), ``alien`` (V, B), optionally ``crops``
                (K, B, 3, h, w).
            data_samples (list, optional): Unused, of the host's interface.

        Returns:
            dict[str, torch.Tensor]: ``loss_rec``, ``loss_patch``, ``loss_cls`` as far as their
            weights are not 0; scalars, means over the views, times their weights.
        """
        views, mask = inputs['views'], inputs['mask']
        corrupted = corrupt(views, mask, inputs['alien'])

        student_cls, student_patch = self.encode(self.backbone, corrupted)  # (V,B,D), (V,B,N,D)
        losses = dict()

        if self.rec_head is not None:
            pixels = self.rec_head(student_patch)  # (V,B,N,3pp)
            losses['loss_rec'] = self.rec_head.loss(
                pixels.flatten(0, 1), views.flatten(0, 1), mask.flatten(0, 1)
            )

        if self.patch_head is not None or self.cls_head is not None:
            with torch.no_grad():
                teacher_cls, teacher_patch = self.encode(self.teacher.backbone, views)

        if self.patch_head is not None:
            masked = patch_mask(mask, self.patch_size)  # (V,B,N)
            queries = _each(self.patch_head, student_patch)  # (V,B,N,C)
            keys = _each(self.teacher.patch_head, teacher_patch)
            losses['loss_patch'] = _mean(
                self.patch_head.loss(q, k, m) for q, k, m in zip(queries, keys, masked, strict=True)
            )

        if self.cls_head is not None:
            queries = _each(self.cls_head, student_cls)  # (V,B,C)
            keys = _each(self.teacher.cls_head, teacher_cls)
            if 'crops' in inputs:  # local crops: not corrupted, against both teacher views
                local_cls, _ = self.encode(self.backbone, inputs['crops'])
                local = self.cls_head(local_cls)  # (K,B,C)
            else:
                local = queries[:0]
            losses['loss_cls'] = _mean(
                self.cls_head.loss(torch.cat([queries[:v], queries[v + 1 :], local]), keys[v])
                for v in range(len(views))  # crossed views: the student's others, the teacher's v
            )

        return {
            name: self.loss_weights[name.removeprefix('loss_')] * loss
            for name, loss in losses.items()
        }

    def extract_feat(
        self, inputs: torch.Tensor, network: str = 'teacher'
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Features of clean images.

        Args:
            inputs (torch.Tensor): (B, 3, H, W), RGB, normalised.
            network (str): ``'teacher'``, the one that is evaluated and exported, or
                ``'student'``.

        Returns:
            tuple[torch.Tensor, torch.Tensor]: Class tokens (B, D), patch tokens (B, N, D).

        Raises:
            ValueError: For another network.
        """
        if network not in ('teacher', 'student'):
            raise ValueError(f"network must be 'teacher' or 'student', got {network!r}.")
        backbone = self.teacher.backbone if network == 'teacher' else self.backbone
        return self.encode(backbone, inputs)

    def reconstruct(self, images: torch.Tensor) -> torch.Tensor:
        """What the student makes of corrupted images (B, 3, H, W), normalised; same shape.

        Raises:
            RuntimeError: If the model was built without a reconstruction loss.
        """
        if self.rec_head is None:
            raise RuntimeError('This model has no reconstruction head: its loss weight is 0.')
        _, patch = self.encode(self.backbone, images)
        return self.rec_head.to_image(self.rec_head(patch), *images.shape[-2:])


def _each(head: nn.Module, tokens: torch.Tensor) -> torch.Tensor:
    """Apply a head to each view by itself: its batch norm sees one view's distribution."""
    return torch.stack([head(view) for view in tokens])


def _mean(losses) -> torch.Tensor:
    return torch.stack(list(losses)).mean()


def _check_weights(weights: dict | None) -> dict[str, float]:
    weights = dict.fromkeys(HEADS, 1.0) | dict(weights or {})
    unknown = sorted(set(weights) - set(HEADS))
    if unknown:
        raise ValueError(f'loss_weights knows {", ".join(HEADS)}, not {", ".join(unknown)}.')
    if min(weights.values()) < 0 or max(weights.values()) <= 0:
        raise ValueError(f'loss_weights must not be negative and not all 0, got {weights}.')
    return weights


def _check_head(name: str, head: nn.Module | None, backbone: nn.Module, patch_size: int) -> None:
    if head is None:
        return
    width = head.layers[0].in_features
    if width != backbone.embed_dims:
        raise ValueError(
            f'model.{name}.in_channels is {width}, but the tokens of the backbone have '
            f'{backbone.embed_dims} channels: set it to that.'
        )
    if getattr(head, 'patch_size', patch_size) != patch_size:
        raise ValueError(
            f'model.{name}.patch_size is {head.patch_size}, but that of the backbone is '
            f'{patch_size}: set both to one value.'
        )


def _check_backbone(backbone: nn.Module) -> int:
    if getattr(backbone, 'out_type', None) != 'raw' or not backbone.with_cls_token:
        raise ValueError(
            "The backbone must be a vision transformer with a class token and out_type='raw', "
            'which gives class and patch tokens at once.'
        )
    return backbone.patch_embed.projection.kernel_size[0]
