"""Mixed precision in bfloat16, on CPU and GPU."""

from contextlib import contextmanager

import torch
import torch.nn as nn
from mmengine.optim import OptimWrapper
from mmengine.runner import autocast
from mmpretrain.registry import OPTIM_WRAPPERS


@OPTIM_WRAPPERS.register_module()
class BFloat16OptimWrapper(OptimWrapper):
    """Runs forward passes under bfloat16 autocast.

    bfloat16 has the range of fp32, so it needs no loss scaling: no skipped step and no
    synchronisation with the device, unlike mmengine's ``AmpOptimWrapper``, which moreover does
    not run on a CPU.

    Args: as :class:`mmengine.optim.OptimWrapper`.
    """

    # Dynamo fails inside nested generators. Where it only meets the context from outside, it runs
    # the training step as it is and compiles what the step calls, the forward pass above all.
    @torch.compiler.disable
    @contextmanager
    def optim_context(self, model: nn.Module):
        """Autocast besides the host's handling of gradient accumulation."""
        with super().optim_context(model), autocast(dtype=torch.bfloat16):
            yield

    @torch.compiler.disable
    def update_params(self, *args, **kwargs) -> None:
        """As the host does, and never compiled: with each new learning rate it would be again."""
        super().update_params(*args, **kwargs)
