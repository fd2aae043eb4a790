"""Stops a run that cannot learn: too few images, or a loss that is not finite."""

from __future__ import annotations

import torch
from mmengine.dist import all_reduce, get_world_size
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmpretrain.registry import HOOKS
from torch import nn
from torch.utils.data import DataLoader

from ...errors import InputError, RunError
from ...models.utils.feature_queue import FeatureQueue
from ...wording import counted
from ..checkpoint import read_last_checkpoint


def check_train_dataloader(dataloader: DataLoader) -> None:
    """Refuse a training set that fills no batch.

    A tool should call it with ``runner.train_dataloader`` before ``runner.train()``: schedulers
    with ``convert_to_iter_based`` fail in mmengine before the first hook is called.

    Raises:
        ValueError: With the numbers and what to change.
    """
    if len(dataloader) > 0:
        return
    processes = get_world_size()
    share = '' if processes == 1 else f' for each of the {processes} processes'
    raise InputError(
        f'The training set has {counted(len(dataloader.sampler), "image")}{share}, fewer than one '
        'batch of '
        f'{dataloader.batch_size}: add images, or set train_dataloader.batch_size to their '
        'number or less.'
    )


def check_queues(model: nn.Module, images: int) -> None:
    """Refuse a queue longer than the training set: images would be negatives of themselves.

    Raises:
        ValueError: With the numbers and what to change.
    """
    for module in model.modules():
        if isinstance(module, FeatureQueue) and len(module.rows) > images:
            raise InputError(
                f'The queue holds {len(module.rows)} features, more than the training set has '
                f'images ({images}), so that images would be negatives of themselves: set '
                'model.queue_length to fewer.'
            )


@HOOKS.register_module()
class LossGuardHook(Hook):
    """Stops the run where a loss is not finite, before a poisoned checkpoint is written.

    Each step adds to counters on the device how many iterations each loss has been finite; they
    are read, which waits for the device, every ``interval`` iterations, at the end of an epoch
    and before a checkpoint is written. The parameters are looked at too before a checkpoint is
    written, since the last step may have spoilt them behind a loss that was still finite, or a
    loss of another process.

    mmdet's ``CheckInvalidLossHook`` looks at the total of its own process only, once in
    ``interval`` iterations, knows nothing of checkpoints, and needs mmdet.

    Args:
        interval (int): Iterations between two looks. Defaults to 50.
    """

    priority = 'HIGH'  # before the checkpoint hook (VERY_LOW)

    def __init__(self, interval: int = 50) -> None:
        self.interval = interval
        self._reset(())

    def _reset(self, names: tuple[str, ...]) -> None:
        self._names = names
        self._counted = 0  # steps since the last look
        # On the device, (losses,): finite in each of these steps? And how many before it was not.
        self._finite: torch.Tensor | None = None
        self._good: torch.Tensor | None = None

    def before_train(self, runner: Runner) -> None:
        """Refuse a training set without a whole batch, or with fewer images than a queue."""
        check_train_dataloader(runner.train_dataloader)
        check_queues(runner.model, len(runner.train_dataloader.dataset))

    def after_train_iter(self, runner: Runner, batch_idx, data_batch=None, outputs=None) -> None:
        """Count on the device; look every ``interval`` iterations."""
        losses = {k: torch.as_tensor(v) for k, v in (outputs or {}).items() if 'loss' in k}
        if not losses:
            return
        if tuple(losses) != self._names:
            self._look(runner, runner.iter)
            self._reset(tuple(losses))
        finite = torch.stack([value.detach().float() for value in losses.values()]).isfinite()
        if self._counted == 0:
            self._finite, self._good = finite, finite.int()
        else:
            self._finite &= finite
            self._good += self._finite
        self._counted += 1
        if self.every_n_train_iters(runner, self.interval):
            self._look(runner, runner.iter + 1, together=True)

    def after_train_epoch(self, runner: Runner) -> None:
        """Look before the checkpoint hook saves the epoch."""
        self._look(runner, runner.iter, together=True)

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Look at this process's losses and at the parameters that are about to be saved."""
        iteration = checkpoint['meta']['iter']
        self._look(runner, iteration)
        names = {  # without what DDP and FSDP put into them
            name.removeprefix('module.').replace('_fsdp_wrapped_module.', '')
            for name, _ in runner.model.named_parameters()
        }
        for name, value in checkpoint['state_dict'].items():
            # The sum is read in one pass; that of finite numbers may overflow, though.
            suspect = name in names and not bool(value.sum().isfinite())
            if suspect and not bool(value.isfinite().all()):
                self._stop(runner, f'the weight {name} was not finite', iteration)

    def _look(self, runner: Runner, iteration: int, together: bool = False) -> None:
        """Stop if a loss was not finite in one of the counted steps.

        ``iteration`` are the steps since the run began. ``together`` takes the losses of all
        processes into account, which must all look, and all begin to count anew. Where one looks
        alone it goes on counting, or the next look of all would compare different numbers.
        """
        if self._counted == 0:
            return
        if together:
            all_reduce(self._good, 'min')
        good = self._good.tolist()
        if min(good) < self._counted:
            bad = [name for name, n in zip(self._names, good, strict=True) if n == min(good)]
            terms = [name for name in bad if name != 'loss'] or bad
            verb = 'was' if len(terms) == 1 else 'were'
            at = iteration - self._counted + min(good) + 1
            self._stop(runner, f'{" and ".join(terms)} {verb} not finite', at)
        if together:
            self._reset(self._names)

    @staticmethod
    def _stop(runner: Runner, what: str, iteration: int) -> None:
        last = read_last_checkpoint(runner.work_dir)
        go_on = 'start again' if last is None else f'go on from {last} with --resume'
        raise RunError(
            f'Training stopped at iteration {iteration}, where {what}; nothing was saved after '
            f'that. The same settings lead here again: {go_on} and a lower learning rate '
            '(optim_wrapper.optimizer.lr), in fp32 (optim_wrapper.precision=fp32) or with '
            'stronger clipping (optim_wrapper.clip_grad.max_norm).'
        )
