"""What hooks, tools and exporters may ask of a method, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from torch import Tensor, nn


class Normaliser(Protocol):
    """The way between pixels and what the networks see; see :class:`ViewDataPreprocessor`."""

    def normalise(self, images: Tensor) -> Tensor:
        """Uint8 RGB (B, 3, H, W) → float (B, 3, H, W) on the model's device."""

    def denormalise(self, images: Tensor) -> Tensor:
        """Back to uint8 RGB (B, 3, H, W), on the CPU."""


@runtime_checkable
class PretrainingMethod(Protocol):
    """A self-supervised method of a student and a teacher.

    :class:`StudentTeacher` has all of this but :meth:`loss`. A checkpoint holds the weights of the
    networks below ``backbone.`` and ``teacher.backbone.``, where loaders and exporters find them.
    """

    data_preprocessor: Normaliser
    backbone: nn.Module
    """The student's vision transformer."""
    patch_size: int
    """Side of a patch in pixels."""

    def loss(self, inputs: dict, data_samples: list | None = None) -> dict[str, Tensor]:
        """Scalars of a batch of ``data_preprocessor``, named ``loss…``; their sum is minimised."""

    def network(self, name: str) -> nn.Module:
        """The vision transformer ``'student'`` or ``'teacher'``."""

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
