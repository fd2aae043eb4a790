"""Leaves out steps that would spoil a run, and lets it go back where there are many."""

from __future__ import annotations

import json
import os
from collections import deque
from statistics import median

import torch
from mmengine.dist import all_reduce, is_main_process
from mmengine.runner import Runner
from mmpretrain.registry import HOOKS

from ...errors import InputError, RollBackError
from ..optimizers import AutoPrecisionOptimWrapper
from .loss_guard import LossGuardHook

_FEWEST = 10  # good steps before a spike can be told from the beginning
WINDOW = 100  # good steps that tell what is usual: few beside a schedule's thousands
PATIENCE = 10  # bad steps in a row: one or two are a bad batch, so many are the weights
ROLLBACKS = 3  # where as many seeds have failed, it is not the order of the images


@HOOKS.register_module()
class LossRecoveryHook(LossGuardHook):
    """In the place of :class:`LossGuardHook`: skips bad steps instead of ending the run.

    A step is bad if the loss or a gradient is not finite, or if the loss is above ``spike`` times
    the median of the last 100 good ones. Then the optimiser, its moments and the teacher stay as
    they are. After ten bad steps in a row, training goes back to the newest whole checkpoint and
    on from there with the next seed, so that other images and augmentations meet (PaLM,
    arXiv 2204.02311, §5.1, does so by hand), three times before it ends. Each is in the log and,
    one JSON object a step, in ``recovery.jsonl`` of the work directory. Processes decide together,
    by their mean loss.

    Each step waits for the device, unlike with :class:`LossGuardHook`, since what it gave is known
    before the next one begins.

    Args:
        spike (float, optional): Defaults to None, no limit for finite losses.

    Raises:
        ValueError: If the number is out of range, or the optimiser's wrapper is another one.
    """

    def __init__(self, spike: float | None = None) -> None:
        super().__init__()
        if spike is not None and spike <= 1:
            raise InputError(f'LossRecoveryHook needs spike above 1 or None, got {spike}.')
        self.spike = spike

    def before_train(self, runner: Runner) -> None:
        """Stand before the optimiser's step."""
        super().before_train(runner)
        self._runner = runner
        self._losses: deque[float] = deque(maxlen=WINDOW)
        self._in_a_row = 0
        self._wrapper = runner.optim_wrapper
        if not isinstance(self._wrapper, AutoPrecisionOptimWrapper):
            raise InputError(
                'LossRecoveryHook asks AutoPrecisionOptimWrapper for the loss of a step: set '
                f'optim_wrapper.type to it, not to {type(self._wrapper).__name__}'
            )
        self._wrapper.keep_loss = True
        self._wrapper.optimizer.register_step_pre_hook(self._judge)

    @torch.no_grad()
    def _judge(self, optimizer: torch.optim.Optimizer, args, kwargs) -> None:
        """Take the gradients of a bad step away: the optimiser leaves out what has none."""
        optimizer.skipped = False
        loss = self._wrapper.take_loss()
        found_inf = getattr(optimizer, 'found_inf', None)
        if found_inf is not None and bool(found_inf):
            return  # the loss scale of fp16 was too high, which mends itself
        params = [p for group in optimizer.param_groups for p in group['params']]
        norms = torch._foreach_norm([p.grad for p in params if p.grad is not None])
        # Minus the number of processes that have a gradient that is not finite, and the loss.
        seen = torch.stack([torch.stack(norms).isfinite().all().float() - 1, loss.float()])
        all_reduce(seen, 'mean')
        spoilt, value = seen.tolist()
        why = self._why(spoilt < 0, value)
        if why is None:
            self._in_a_row = 0
            self._losses.append(value)
            return
        optimizer.skipped = True
        for parameter in params:
            parameter.grad = None
        self._in_a_row += 1
        iteration = self._runner.iter + 1
        self._note(dict(iter=iteration, event='skipped', loss=value, reason=why))
        self._runner.logger.warning(f'Iteration {iteration} is skipped: {why}.')

    def _why(self, spoilt: bool, loss: float) -> str | None:
        if not torch.tensor(loss).isfinite():
            return 'the loss is not finite'
        if spoilt:
            return 'a gradient is not finite'
        if self.spike is not None and len(self._losses) >= _FEWEST:
            usual = median(self._losses)
            if loss > self.spike * abs(usual):
                return f'the loss is {loss:.4g}, where {usual:.4g} is usual'
        return None

    def after_train_iter(self, runner: Runner, batch_idx, data_batch=None, outputs=None) -> None:
        """Go back after so many bad steps in a row.

        Raises:
            RollBackError: For :func:`~mmc_plugin.engine.training.train`, which goes back.
        """
        if self._in_a_row >= PATIENCE:
            iteration, seed = runner.iter + 1, runner.seed + 1
            self._note(dict(iter=iteration, event='rolled back', seed=seed))
            raise RollBackError(
                f'{self._in_a_row} steps in a row, up to iteration {iteration}, could not be '
                'taken', seed, ROLLBACKS
            )  # fmt: skip

    def _note(self, entry: dict) -> None:
        if is_main_process():
            with open(os.path.join(self._runner.work_dir, 'recovery.jsonl'), 'a') as file:
                file.write(json.dumps(entry) + '\n')
