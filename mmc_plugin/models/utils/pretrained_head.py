"""A head that starts with the weights of a checkpoint."""

from __future__ import annotations

from mmpretrain.registry import WEIGHT_INITIALIZERS
from torch import nn

from ...checkpoints.files import read_checkpoint
from ...checkpoints.heads import read_head
from ...errors import InputError


@WEIGHT_INITIALIZERS.register_module()
class PretrainedHead:
    """For ``init_cfg``: the weights of a head of any checkpoint that :func:`read_head` reads.

    Args:
        checkpoint (str): See :func:`~mmc_plugin.checkpoints.read_checkpoint`.
        name (str): Of the head in there.
        allow_pickle (bool): Run the code in the checkpoint. Only for files that you trust.
    """

    def __init__(self, checkpoint: str, name: str, allow_pickle: bool = False) -> None:
        self.checkpoint, self.name, self.allow_pickle = checkpoint, name, allow_pickle

    def __call__(self, module: nn.Module) -> None:
        """Fill a head.

        Raises:
            ValueError: If the checkpoint has no such head, or it does not fit.
        """
        checkpoint = read_checkpoint(self.checkpoint, self.allow_pickle)
        weights, wrong = read_head(checkpoint, self.name, head_shapes(module))
        if not weights:
            raise InputError(
                f'The head {self.name} cannot start from the checkpoint {self.checkpoint}, which '
                + (f'does not fit: {"; ".join(wrong)}' if wrong else 'has none of that name')
            )
        module.load_state_dict(weights)


def head_shapes(module: nn.Module) -> dict[str, tuple[int, ...]]:
    """Names and shapes of all that a head keeps."""
    return {name: tuple(value.shape) for name, value in module.state_dict().items()}
