"""Exponential moving average of student modules."""

import copy
from collections.abc import Mapping

import torch
import torch.nn as nn


class MomentumTeacher(nn.Module):
    """Copies of student modules that follow them as an exponential moving average.

    Differences from :class:`mmpretrain.models.utils.CosineEMA`: no drop-path or dropout in the
    copies, so the teacher is deterministic in train mode; one fused update for all parameters;
    and the update is called by a hook after each optimiser step, not by each forward. Batch norm
    keeps batch statistics of its own in train mode, as in the DINO and iBOT releases.

    Args:
        students (Mapping[str, nn.Module]): Modules to follow; each copy becomes an attribute of
            the same name.
    """

    def __init__(self, students: Mapping[str, nn.Module]) -> None:
        super().__init__()
        self.names = tuple(students)
        for name, student in students.items():
            teacher = copy.deepcopy(student)
            _make_deterministic(teacher)
            self.add_module(name, teacher.requires_grad_(False))

    @torch.no_grad()
    def copy_from(self, students: Mapping[str, nn.Module]) -> None:
        """Take over all parameters and buffers of the students."""
        for name in self.names:
            getattr(self, name).load_state_dict(students[name].state_dict())

    @torch.no_grad()
    def update(self, students: Mapping[str, nn.Module], momentum: float) -> None:
        """θ_t ← m θ_t + (1 − m) θ_s over all parameters.

        Args:
            students (Mapping[str, nn.Module]): The modules given at construction.
            momentum (float): m in [0, 1].
        """
        mine = [p for name in self.names for p in getattr(self, name).parameters()]
        theirs = [p for name in self.names for p in students[name].parameters()]
        torch._foreach_lerp_(mine, theirs, 1.0 - momentum)


def _make_deterministic(module: nn.Module) -> None:
    for child in module.modules():
        if isinstance(child, nn.modules.dropout._DropoutNd):
            child.p = 0.0
        if hasattr(child, 'drop_prob'):  # DropPath of mmcv, mmpretrain and timm
            child.drop_prob = 0.0
