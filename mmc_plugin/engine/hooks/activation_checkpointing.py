"""Less memory for the student's backbone, at the price of a second forward pass of it."""

from __future__ import annotations

from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmpretrain.registry import HOOKS

from ...models.utils.recomputing import recompute_blocks
from .model_access import unwrap


@HOOKS.register_module()
class ActivationCheckpointingHook(Hook):
    """Keeps of each block of the student's backbone its input alone, and runs it again backwards.

    For any backbone that holds its blocks as ``layers``, as the vision transformers of this package
    and of mmpretrain do. Losses and gradients are those without it, to the bit: random states are
    those of the first pass. The host's key ``activation_checkpointing`` names each block by itself
    and passes no keyword arguments.
    """

    def before_train(self, runner: Runner) -> None:
        """Wrap the blocks.

        Raises:
            ValueError: If the model has no backbone with blocks.
        """
        recompute_blocks(unwrap(runner.model))
