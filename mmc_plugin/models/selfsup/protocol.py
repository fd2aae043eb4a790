"""What hooks, tools and exporters may ask of a method, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from torch import Tensor, nn

from ...errors import InputError
from .seen import Seen


class Normaliser(Protocol):
    """The way between pixels and what the networks see; see :class:`ViewDataPreprocessor`."""

    def normalise(self, images: Tensor) -> Tensor:
        """Uint8 RGB (B, 3, H, W) → float (B, 3, H, W) on the model's device."""

    def denormalise(self, images: Tensor) -> Tensor:
        """Back to uint8 RGB (B, 3, H, W), on the CPU."""


class PretrainingMethod(Protocol):
    """A self-supervised method of a student and a teacher.

    :class:`StudentTeacher` has all of this but :meth:`loss`. A checkpoint holds the weights of the
    networks below ``backbone.`` and ``teacher.backbone.``, where loaders and exporters find them.
    """

    data_preprocessor: Normaliser
    backbone: nn.Module
    """The student's, a vision transformer of mmpretrain with its ``embed_dims``, ``img_size``,
    ``layers`` and ``num_extra_tokens``."""
    patch_size: int
    """Side of a patch in pixels."""

    def loss(self, inputs: dict, data_samples: list | None = None) -> dict[str, Tensor]:
        """Scalars of a batch of ``data_preprocessor``, named ``loss…``; their sum is minimised."""

    def seen(self, inputs: Mapping, noise: Tensor | None = None) -> Seen:
        """The global views of such a batch as they enter the student.

        ``noise`` like ``views`` stands for what would be drawn to corrupt them.
        """

    def network(self, name: str) -> nn.Module:
        """The vision transformer of the ``'student'`` or the ``'teacher'``."""

    def extract_feat(self, inputs: Tensor, network: str = 'teacher') -> tuple[Tensor, Tensor]:
        """Normalised images (B, 3, H, W) → class tokens (B, D) and patch tokens (B, N, D)."""

    def momentum_at(self, iteration: int, max_iters: int) -> float | None:
        """The teacher's momentum after an iteration in 0 … ``max_iters`` − 1.

        None where there is no teacher, or the method moves it by itself.
        """

    def begin_epoch(self, epoch: int) -> None:
        """For schedules that go by epochs, counted from 0; called before each of them."""

    def update_teacher(self, momentum: float) -> None:
        """Move the teacher; called after each step of the optimiser."""

    @property
    def reconstructs(self) -> bool:
        """Whether the student paints pixels: :meth:`reconstruct_layers` can be asked for."""

    def reconstruct_layers(self, images: Tensor, layers: Sequence[int]) -> Tensor:
        """Corrupted normalised images (B, 3, H, W) → (L, B, 3, H, W) from the output of layers."""


_MEMBERS = [
    name
    for name in (*PretrainingMethod.__annotations__, *vars(PretrainingMethod))
    if not name.startswith('_')
]


def lacking(model: nn.Module) -> list[str]:
    """Names of a :class:`PretrainingMethod` that a model does not have."""
    return [name for name in _MEMBERS if not hasattr(model, name)]


def check_method(model: nn.Module) -> None:
    """Refuse a model that is no :class:`PretrainingMethod`.

    Raises:
        ValueError: With what it lacks.
    """
    if names := lacking(model):
        raise InputError(
            f'{type(model).__name__} has no {", ".join(names)}, which hooks and tools ask of a '
            'pretraining method: let it inherit mmc_plugin.models.selfsup.StudentTeacher, or give '
            'it what mmc_plugin/models/selfsup/protocol.py lists'
        )
