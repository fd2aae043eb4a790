"""Moves the teacher after each optimiser step."""

import math

from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmpretrain.registry import HOOKS


@HOOKS.register_module()
class MomentumTeacherHook(Hook):
    """Calls ``model.update_teacher(momentum)`` after each real optimiser step.

    Iterations that only accumulate gradients, and steps that the gradient scaler of fp16
    training skips, do not move the teacher. The rate goes from ``momentum`` to ``end_momentum``
    along a half cosine over the iterations of the run [DINO, iBOT and MC-SSL releases], and
    depends on the iteration alone, so a resumed run goes on where it was.

    Args:
        momentum (float): First rate. Defaults to 0.996.
        end_momentum (float): Last rate. Defaults to 1.0.
    """

    def __init__(self, momentum: float = 0.996, end_momentum: float = 1.0) -> None:
        if not 0 <= momentum <= end_momentum <= 1:
            raise ValueError(
                f'The momentum must rise within [0, 1], got {momentum} to {end_momentum}.'
            )
        self.momentum = momentum
        self.end_momentum = end_momentum
        self._stepped = False

    def rate(self, iteration: int, max_iters: int) -> float:
        """m of an iteration in 0 … ``max_iters`` − 1."""
        cosine = (1 + math.cos(math.pi * iteration / max_iters)) / 2
        return self.end_momentum - (self.end_momentum - self.momentum) * cosine

    def before_train(self, runner) -> None:
        """Listen to the optimiser."""
        runner.optim_wrapper.optimizer.register_step_post_hook(self._after_step)

    def _after_step(self, optimizer, args, kwargs) -> None:
        # A fused optimiser under a gradient scaler is called for skipped steps too, and told so.
        found_inf = getattr(optimizer, 'found_inf', None)
        self._stepped = found_inf is None or not bool(found_inf)

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        """Move the teacher if the optimiser has stepped."""
        if not self._stepped:
            return
        self._stepped = False
        momentum = self.rate(runner.iter, runner.max_iters)
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        model.update_teacher(momentum)
        runner.message_hub.update_scalar('train/teacher_momentum', momentum)
