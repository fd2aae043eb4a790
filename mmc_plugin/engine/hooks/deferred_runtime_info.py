"""The losses of a step in the log, without waiting for the device at each step."""

from __future__ import annotations

import torch
from mmengine.hooks import LoggerHook, RuntimeInfoHook
from mmengine.runner import Runner
from mmpretrain.registry import HOOKS

from ..optimizers import AutoPrecisionOptimWrapper


@HOOKS.register_module()
class DeferredRuntimeInfoHook(RuntimeInfoHook):
    """mmengine's ``RuntimeInfoHook`` that reads the losses when the log is about to be written.

    The host calls ``.item()`` on each loss and on the gradient norm after each step, so that the
    next step is not launched before the device has finished this one. Here the values stay on
    the device until a ``LoggerHook`` is due, at the end of an epoch at the latest, and then go into
    the message hub together, all of them and in their order: the log is the same.

    The gradient norm is deferred with :class:`AutoPrecisionOptimWrapper` and its subclasses;
    mmengine's own wrappers read it by themselves.
    """

    def before_train(self, runner: Runner) -> None:
        """As the host does; find out when the log is written."""
        super().before_train(runner)
        self._intervals = {hook.interval for hook in runner.hooks if isinstance(hook, LoggerHook)}
        self._pending: list[tuple[list[str], torch.Tensor]] = []
        self._wrapper = runner.optim_wrapper
        if isinstance(self._wrapper, AutoPrecisionOptimWrapper):
            self._wrapper.defer_grad_norm = True

    def after_train_iter(self, runner: Runner, batch_idx, data_batch=None, outputs=None) -> None:
        """Keep this step's losses; hand over all that were kept if the log is due."""
        outputs = dict(outputs or {})
        if isinstance(self._wrapper, AutoPrecisionOptimWrapper):
            outputs.update(self._wrapper.take_grad_norm())
        if outputs:
            # A copy: a compiled step may write the next losses to the same memory.
            values = [torch.as_tensor(each).detach().double() for each in outputs.values()]
            self._pending.append((list(outputs), torch.stack(values)))
        due = any(self.every_n_inner_iters(batch_idx, each) for each in self._intervals)
        if due or self.end_of_epoch(runner.train_dataloader, batch_idx):
            self._hand_over(runner)

    def after_train(self, runner: Runner) -> None:
        """Hand over the last steps of a run that is not counted in epochs."""
        self._hand_over(runner)

    def _hand_over(self, runner: Runner) -> None:
        if not self._pending:
            return
        values = iter(torch.cat([each for _, each in self._pending]).tolist())  # waits once
        for names, _ in self._pending:
            for name in names:
                runner.message_hub.update_scalar(f'train/{name}', next(values))
        self._pending = []
