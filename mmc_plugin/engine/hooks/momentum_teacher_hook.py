"""Moves the teacher after each optimiser step."""

from __future__ import annotations

from mmengine.hooks import Hook
from mmengine.runner import EpochBasedTrainLoop, Runner
from mmpretrain.registry import HOOKS

from ...errors import InputError
from ...models.selfsup import check_method
from ...models.utils.epoch_ramp import EpochRamp
from .model_access import unwrap


@HOOKS.register_module()
class MomentumTeacherHook(Hook):
    """Calls ``model.update_teacher(momentum)`` after each real optimiser step.

    Iterations that only accumulate gradients, and steps that the gradient scaler of fp16
    training skips, do not move the teacher. The momentum m is what ``model.momentum_at`` says of
    the iteration; it depends on nothing else, so a resumed run goes on where it was. In a run that
    :class:`TimeLimitedTrainLoop` has made shorter by a factor κ it is m^κ, or much of the teacher
    would still be its initial weights at the end [EMA scaling rule, arXiv 2307.13813].
    """

    def __init__(self) -> None:
        self._stepped = False

    def before_train(self, runner: Runner) -> None:
        """Listen to the optimiser; refuse a schedule by epochs in a run that has none.

        Raises:
            ValueError: Also if the model is no :class:`PretrainingMethod`.
        """
        check_method(unwrap(runner.model))
        ramps = [m for m in runner.model.modules() if isinstance(m, EpochRamp) and m.epochs > 1]
        if ramps and not isinstance(runner.train_loop, EpochBasedTrainLoop):
            raise InputError(
                'model.warmup_epochs counts epochs, of which a run by iterations has none: train '
                'by epochs (train_cfg.max_epochs), or set it to 0.'
            )
        runner.optim_wrapper.optimizer.register_step_post_hook(self._after_step)

    def _after_step(self, optimizer, args, kwargs) -> None:
        # A fused optimiser under a gradient scaler is called for skipped steps too, and told so.
        found_inf = getattr(optimizer, 'found_inf', None)
        skipped = getattr(optimizer, 'skipped', False)  # by LossRecoveryHook
        self._stepped = not skipped and (found_inf is None or not bool(found_inf))

    def before_train_epoch(self, runner: Runner) -> None:
        """Tell the model which epoch begins."""
        unwrap(runner.model).begin_epoch(runner.epoch)

    def after_train_iter(self, runner: Runner, batch_idx, data_batch=None, outputs=None) -> None:
        """Move the teacher if the optimiser has stepped."""
        if not self._stepped:
            return
        self._stepped = False
        model = unwrap(runner.model)
        momentum = model.momentum_at(runner.iter, runner.max_iters)
        if momentum is None:
            return
        momentum **= getattr(runner.train_loop, 'shortening', 1)
        model.update_teacher(momentum)
        runner.message_hub.update_scalar('train/teacher_momentum', momentum)
