"""What every method with a student and a momentum teacher shares."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from mmpretrain.models.selfsup.base import BaseSelfSupervisor
from mmpretrain.registry import MODELS
from torch import Tensor, nn

from ...errors import InputError
from ..features import layer_tokens, patch_size_of
from ..utils.corruption import corrupt, touched_patches
from ..utils.epoch_ramp import EpochRamp
from ..utils.momentum_teacher import MomentumTeacher
from .checks import check_inputs
from .seen import Seen


class StudentTeacher(BaseSelfSupervisor):
    """A student, its heads, and a teacher that follows them as a moving average.

    A method inherits this and gives ``loss()``. The result is a :class:`PretrainingMethod`.

    Dimensions: V views or crops, B images of a process, N patches, D token width.

    Args:
        backbone (dict): A vision transformer of mmpretrain with ``out_type='raw'``.
        heads (Mapping[str, dict | None]): Attribute name → config of the student's heads; None
            for one that is left out.
        follows (Sequence[str]): Modules that the teacher follows, as far as they are there.
            Defaults to the backbone alone.
        momentum (float): The teacher's momentum in the first iteration. Defaults to 0.996
            [DINO, iBOT and SiT releases].
        end_momentum (float): In the last one. Defaults to 1.0.
        momentum_schedule (str): It rises along a half ``'cosine'``, or ``'linear'``. Defaults to
            the first.
        data_preprocessor (dict, optional): See :class:`ViewDataPreprocessor`.
        init_cfg (dict, optional): Initialisation of the whole model.

    Raises:
        ValueError: If backbone, heads or momenta do not fit.
    """

    # What fills the student's views where no other image does: 'noise' or 'zeros'. None: they are
    # not corrupted.
    fill: str | None = None

    def __init__(
        self,
        backbone: dict,
        heads: Mapping[str, dict | None],
        follows: Sequence[str] = ('backbone',),
        momentum: float = 0.996,
        end_momentum: float = 1.0,
        momentum_schedule: str = 'cosine',
        data_preprocessor: dict | None = None,
        init_cfg: dict | list | None = None,
    ) -> None:
        preprocessor = dict(type='ViewDataPreprocessor') | dict(data_preprocessor or {})
        super().__init__(backbone, data_preprocessor=preprocessor, init_cfg=init_cfg)
        if not 0 <= momentum <= end_momentum <= 1:
            raise InputError(
                f'model.momentum must rise within [0, 1], got {momentum} to {end_momentum}.'
            )
        if momentum_schedule not in ('cosine', 'linear'):
            raise InputError(
                f"model.momentum_schedule is 'cosine' or 'linear', not {momentum_schedule!r}."
            )
        self.momentum, self.end_momentum = momentum, end_momentum
        self.momentum_schedule = momentum_schedule
        self.patch_size = _check_backbone(self.backbone)
        for name, cfg in heads.items():
            if getattr(self, name, None) is not None or name == 'teacher':
                raise InputError(f'A head cannot be called {name!r}, which the model has already.')
            head = None if cfg is None else MODELS.build(cfg)
            setattr(self, name, head)
            _check_head(name, head, self.backbone, self.patch_size)
        if self.reconstructs:
            self.data_preprocessor.patch_size = self.patch_size
        if 'backbone' not in follows or not {'backbone', *heads}.issuperset(follows):
            raise InputError(
                f'The teacher follows the backbone and heads of the student, got {list(follows)}.'
            )
        self._follows = tuple(name for name in follows if getattr(self, name) is not None)
        self.teacher = MomentumTeacher(self._followed())

    def _followed(self) -> dict[str, nn.Module]:
        """The modules of the student that the teacher follows."""
        return {name: getattr(self, name) for name in self._follows}

    def init_weights(self) -> None:
        """Initialise the student and let the teacher start as its copy."""
        super().init_weights()
        self.teacher.copy_from(self._followed())

    def momentum_at(self, iteration: int, max_iters: int) -> float:
        """The teacher's momentum after an iteration in 0 … ``max_iters`` − 1."""
        left = 1 - iteration / max_iters
        if self.momentum_schedule == 'cosine':
            left = (1 + math.cos(math.pi * iteration / max_iters)) / 2
        return self.end_momentum - (self.end_momentum - self.momentum) * left

    def begin_epoch(self, epoch: int) -> None:
        """For schedules that go by epochs, from 0; :class:`MomentumTeacherHook` calls it."""
        for module in self.children():
            if isinstance(module, EpochRamp):
                module.begin_epoch(epoch)

    def update_teacher(self, momentum: float) -> None:
        """Move the teacher; :class:`MomentumTeacherHook` calls it after each optimiser step."""
        self.teacher.update(self._followed(), momentum)

    def network(self, name: str) -> nn.Module:
        """The backbone of the ``'teacher'``, which is evaluated and exported, or ``'student'``.

        Raises:
            ValueError: For another name.
        """
        if name not in ('teacher', 'student'):
            raise InputError(f"network must be 'teacher' or 'student', got {name!r}.")
        return self.teacher.backbone if name == 'teacher' else self.backbone

    def seen(self, inputs: Mapping, noise: Tensor | None = None) -> Seen:
        """The global views as they enter the student, corrupted where the method says ``fill``.

        Args:
            inputs (Mapping): Output of :class:`ViewDataPreprocessor`.
            noise (Tensor, optional): See :func:`corrupt`.

        Raises:
            ValueError: If the batch lacks what it takes.
        """
        if self.fill is None:
            return Seen(inputs['views'])
        check_inputs(self, inputs, 'mask', 'alien', views=1, more=True)
        views, mask, alien = (inputs[key] for key in ('views', 'mask', 'alien'))
        return Seen(corrupt(views, mask, alien, noise, fill=self.fill), self.fill)

    @staticmethod
    def encode(
        backbone: nn.Module, images: Tensor, masked: Tensor | None = None, **front: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Tokens of the last layer after its norm, in one forward.

        Args:
            backbone (nn.Module): That of the student or of the teacher.
            images (Tensor): (..., 3, H, W), normalised; any leading dimensions.
            masked (Tensor, optional): (..., N) bool, patches that the backbone does not see.
            **front: ``mask_token`` and ``keep`` of :class:`PretrainedViT`.

        Returns:
            tuple[Tensor, Tensor]: Class tokens (..., D), patch tokens (..., N, D).
        """
        if masked is not None:
            front['masked'] = masked.flatten(0, -2)
        tokens = backbone(images.flatten(0, -4), **front)[-1]
        tokens = tokens.unflatten(0, images.shape[:-3])
        extra = backbone.num_extra_tokens
        return tokens[..., 0, :], tokens[..., extra:, :]

    def encode_crops(self, crops: Tensor | Sequence[Tensor]) -> Tensor:
        """The student's class tokens of local crops, in one forward for each resolution.

        Args:
            crops (Tensor | Sequence[Tensor]): (K, B, 3, h, w), normalised, one for each resolution.

        Returns:
            Tensor: (ΣK, B, D).
        """
        crops = [crops] if isinstance(crops, Tensor) else crops
        return torch.cat([self.encode(self.backbone, each)[0] for each in crops])

    def extract_feat(self, inputs: Tensor, network: str = 'teacher') -> tuple[Tensor, Tensor]:
        """Features of clean images.

        Args:
            inputs (Tensor): (B, 3, H, W), RGB, normalised.
            network (str): See :meth:`network`.

        Returns:
            tuple[Tensor, Tensor]: Class tokens (B, D), patch tokens (B, N, D).
        """
        return self.encode(self.network(network), inputs)

    def reconstruction_loss(self, patches: Tensor, inputs: dict) -> Tensor:
        """The error of ``rec_head`` over the corrupted pixels.

        The head runs on patches with a corrupted pixel alone; the others have no part in the loss.

        Args:
            patches (Tensor): Patch tokens (V, B, N, D) of the corrupted views.
            inputs (dict): With the clean ``views`` and ``mask``, optionally ``touched``.

        Returns:
            Tensor: Scalar.
        """
        views, mask, touched = inputs['views'], inputs['mask'], inputs.get('touched')
        if touched is None:
            touched = touched_patches(mask, self.patch_size)
        pixels = self.rec_head(patches.flatten(0, 2)[touched])  # (R,3pp)
        return self.rec_head.loss(pixels, views.flatten(0, 1), mask.flatten(0, 1), touched)

    @property
    def reconstructs(self) -> bool:
        """Whether the student has a head ``rec_head`` that paints pixels."""
        return getattr(self, 'rec_head', None) is not None

    def reconstruct_layers(self, images: Tensor, layers: Sequence[int]) -> Tensor:
        """What the head makes of the output of each of some layers, in one forward.

        Each layer's tokens pass through the norm that follows the last one, because the head has
        only seen normed tokens.

        Args:
            images (Tensor): (B, 3, H, W), corrupted and normalised.
            layers (Sequence[int]): L layers, from 0, or negative from the end.

        Returns:
            Tensor: (L, B, 3, H, W), normalised.

        Raises:
            ValueError: If there is no such layer, or the model was built without a head for it.
        """
        if not self.reconstructs:
            raise InputError('This model was built with no reconstruction head.')
        _, patches = layer_tokens(self.backbone, images, layers)
        pixels = (self.rec_head(each.flatten(1, 2)) for each in patches)  # (B,N,3pp) each
        return torch.stack([self.rec_head.to_image(each, *images.shape[-2:]) for each in pixels])


def _check_head(name: str, head: nn.Module | None, backbone: nn.Module, patch_size: int) -> None:
    if head is None:
        return
    layers = getattr(head, 'layers', None)  # of a head of ours
    width = layers[0].in_features if layers else getattr(head, 'in_channels', backbone.embed_dims)
    if width != backbone.embed_dims:
        raise InputError(
            f'model.{name}.in_channels is {width}, but the tokens of the backbone have '
            f'{backbone.embed_dims} channels: set it to that.'
        )
    channels = backbone.patch_embed.projection.in_channels
    if getattr(head, 'image_channels', channels) != channels:
        raise InputError(
            f'model.{name}.image_channels is {head.image_channels}, but the backbone takes images '
            f'of {channels} channels: set in_channels at the top of the config, which sets all.'
        )
    if getattr(head, 'patch_size', patch_size) != patch_size:
        raise InputError(
            f'model.{name}.patch_size is {head.patch_size}, but that of the backbone is '
            f'{patch_size}: set both to one value.'
        )


def _check_backbone(backbone: nn.Module) -> int:
    if getattr(backbone, 'out_type', None) != 'raw' or not backbone.with_cls_token:
        raise InputError(
            "The backbone must be a vision transformer with a class token and out_type='raw', "
            'which gives class and patch tokens at once.'
        )
    return patch_size_of(backbone)
