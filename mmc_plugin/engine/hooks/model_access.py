"""What hooks that look at a model in the middle of its training share."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from mmengine.model import is_model_wrapper
from torch import nn
from torch.distributed import fsdp

# PyTorch has the second, FSDP2, from 2.6 on.
_SHARDED = tuple(
    getattr(fsdp, name)
    for name in ('FullyShardedDataParallel', 'FSDPModule')
    if hasattr(fsdp, name)
)


def unwrap(model: nn.Module) -> nn.Module:
    """The model inside a distributed wrapper, or the model itself."""
    return model.module if is_model_wrapper(model) else model


def is_sharded(model: nn.Module) -> bool:
    """Whether each process holds a part of the model, so that one alone cannot run it."""
    return isinstance(model, _SHARDED)


@contextmanager
def undisturbed(model: nn.Module) -> Iterator[None]:
    """Inside: evaluation mode and no gradients. Afterwards all is as before.

    Each module gets back its own mode, and the random states of Python, numpy and torch (CPU
    and current GPU) are restored, so that a training goes on as if nothing had happened.
    """
    modes = [(module, module.training) for module in model.modules()]
    python_state, numpy_state = random.getstate(), np.random.get_state()
    devices = [torch.cuda.current_device()] if torch.cuda.is_available() else []
    with torch.random.fork_rng(devices), torch.no_grad():
        model.eval()
        try:
            yield
        finally:
            for module, mode in modes:
                module.training = mode
            random.setstate(python_state)
            np.random.set_state(numpy_state)
