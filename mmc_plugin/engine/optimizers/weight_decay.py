"""A weight decay that changes along a cosine."""

from __future__ import annotations

from mmengine.optim import CosineAnnealingParamScheduler
from mmpretrain.registry import PARAM_SCHEDULERS


@PARAM_SCHEDULERS.register_module()
class CosineWeightDecay(CosineAnnealingParamScheduler):
    """From the optimiser's weight decay to ``eta_min`` along half a cosine, up or down.

    Groups that have none keep none; mmengine's scheduler would give them one.

    Args:
        optimizer: Optimiser or its wrapper.
        **kwargs: Of :class:`mmengine.optim.CosineAnnealingParamScheduler`.
    """

    def __init__(self, optimizer, **kwargs) -> None:
        super().__init__(optimizer, param_name='weight_decay', **kwargs)

    def _get_value(self) -> list[float]:
        values = super()._get_value()
        return [each if base else 0.0 for each, base in zip(values, self.base_values, strict=True)]
