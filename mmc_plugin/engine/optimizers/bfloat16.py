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

    # Whether the gradient norm waits on the device for take_grad_norm(), rather than being read,
    # and the device waited for, at each step as the host does.
    defer_grad_norm = False

    def _clip_grad(self) -> None:
        if not self.defer_grad_norm:
            super()._clip_grad()
            return
        params = [
            param
            for group in self.optimizer.param_groups
            for param in group['params']
            if param.requires_grad and param.grad is not None
        ]
        self._grad_norm = self.clip_func(params, **self.clip_grad_kwargs) if params else None

    def take_grad_norm(self) -> dict[str, torch.Tensor]:
        """The deferred norm before clipping, by its name in the log.

        Returns:
            dict[str, torch.Tensor]: Name → scalar on the device; empty if there was no optimiser
            step since the last call, or nothing to clip.
        """
        norm = self.__dict__.pop('_grad_norm', None)
        return {} if norm is None else {self.grad_name: norm}

    @torch.compiler.disable
    def update_params(self, *args, **kwargs) -> None:
        """As the host does, and never compiled: with each new learning rate it would be again."""
        super().update_params(*args, **kwargs)
