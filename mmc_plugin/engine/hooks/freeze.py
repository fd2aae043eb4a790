"""Leaves out the gradients of some parameters in the first epochs."""

from __future__ import annotations

from mmengine.hooks import Hook
from mmengine.runner import EpochBasedTrainLoop, Runner
from mmpretrain.registry import HOOKS

from ...errors import InputError
from .model_access import unwrap


@HOOKS.register_module()
class FreezeHook(Hook):
    """Keeps the optimiser from parameters whose names hold a word, in the first epochs.

    They get gradients, which are dropped right before the step, as the DINO and iBOT releases do
    (``freeze_last_layer``): no step, no weight decay, no moments.

    Args:
        word (str): Part of the parameters' names.
        epochs (int): Epochs without a step. Defaults to 1 [DINO release].

    Raises:
        ValueError: If no parameter of the student has such a name, or the run has no epochs.
    """

    def __init__(self, word: str, epochs: int = 1) -> None:
        self.word, self.epochs = word, epochs

    def before_train(self, runner: Runner) -> None:
        """Find the parameters; stand before the optimiser's step."""
        if not isinstance(runner.train_loop, EpochBasedTrainLoop):
            raise InputError(
                'FreezeHook counts epochs, of which a run by iterations has none: train by epochs '
                '(train_cfg.max_epochs), or leave the hook out.'
            )
        frozen = [
            each
            for name, each in unwrap(runner.model).named_parameters()
            if self.word in name.replace('_fsdp_wrapped_module.', '') and each.requires_grad
        ]
        if not frozen:
            raise InputError(
                f'FreezeHook: no trained parameter has {self.word!r} in its name; see '
                'default_hooks.'
            )

        def drop(optimizer, args, kwargs) -> None:
            if runner.epoch < self.epochs:
                for each in frozen:
                    each.grad = None

        runner.optim_wrapper.optimizer.register_step_pre_hook(drop)
