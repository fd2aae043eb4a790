"""A learning rate that falls from the head to the first layer."""

import torch.nn as nn
from mmpretrain.engine.optimizers import LearningRateDecayOptimWrapperConstructor
from mmpretrain.registry import OPTIM_WRAPPER_CONSTRUCTORS

from .merged_groups import MergedGroupsOptimWrapperConstructor, merge_groups


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class LayerDecayOptimWrapperConstructor(
    MergedGroupsOptimWrapperConstructor, LearningRateDecayOptimWrapperConstructor
):
    """mmpretrain's layer decay with a group for each layer and weight decay.

    Of L layers, what precedes them has depth 0, layer i depth i (from 1) and what follows them
    depth L + 1; a parameter of depth l learns at lr · d^(L + 1 - l), where d is
    ``layer_decay_rate`` of ``paramwise_cfg`` (BEiT, arXiv 2106.08254). The host makes one group a
    parameter.
    """

    def add_params(self, params: list[dict], module: nn.Module, prefix: str = '', **kwargs) -> None:
        """Collect the groups of ``module`` into ``params``; see the host."""
        super().add_params(params, module, prefix, **kwargs)
        if prefix == '':
            for group in params:
                group.pop('param_name', None)  # it tells groups apart that are equal
            params[:] = merge_groups(params)
