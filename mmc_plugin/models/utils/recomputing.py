"""Blocks of a backbone that run a second time backwards instead of keeping what they made."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from ...errors import InputError


def recompute_blocks(model: nn.Module) -> None:
    """See :class:`ActivationCheckpointingHook`; in place.

    Args:
        model (nn.Module): With a ``backbone``.

    Raises:
        ValueError: If that has no blocks.
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
