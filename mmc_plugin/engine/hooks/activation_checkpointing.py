"""Less memory for the student's backbone, at the price of a second forward pass of it."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps

import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmpretrain.registry import HOOKS
from torch import nn
from torch.utils.checkpoint import checkpoint

from ...errors import InputError
from .model_access import unwrap


@HOOKS.register_module()
class ActivationCheckpointingHook(Hook):
    """Keeps of each block of the student's backbone its input alone, and runs it again backwards.

    For any backbone that holds its blocks as ``layers``, as the vision transformers of this package
    and of mmpretrain do. Losses and gradients are those without it, to the bit: random states are
    those of the first pass. The host's key ``activation_checkpointing`` names each block by itself
    and passes no keyword arguments.
    """

    def before_train(self, runner: Runner) -> None:
        """Wrap the blocks.

        Raises:
            ValueError: If the model has no backbone with blocks.
        """
        recompute_blocks(unwrap(runner.model))


def recompute_blocks(model: nn.Module) -> None:
    """See :class:`ActivationCheckpointingHook`; in place.

    Args:
        model (nn.Module): With a ``backbone``.
    """
    backbone = getattr(model, 'backbone', None)
    backbone = getattr(backbone, '_fsdp_wrapped_module', backbone)
    blocks = getattr(backbone, 'layers', None)
    if not isinstance(blocks, nn.ModuleList | nn.Sequential):
        raise InputError(
            f'ActivationCheckpointingHook: the backbone {type(backbone).__name__} has no blocks '
            "called 'layers', which could be run again: leave the hook out of default_hooks"
        )
    for block in blocks:
        # What FSDP gathers for the second pass must be gathered outside of it.
        block = getattr(block, '_fsdp_wrapped_module', block)
        block.forward = _recomputed(block.forward)


def _recomputed(forward: Callable) -> Callable:
    @wraps(forward)
    def run(*args, **kwargs):
        if not torch.is_grad_enabled():
            return forward(*args, **kwargs)
        return checkpoint(forward, *args, use_reentrant=False, **kwargs)

    return run
