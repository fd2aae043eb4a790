"""A learning rate that falls from the head to the first layer."""

from functools import partial

import torch.nn as nn
from mmpretrain.engine.optimizers import LearningRateDecayOptimWrapperConstructor
from mmpretrain.registry import OPTIM_WRAPPER_CONSTRUCTORS

from ...errors import InputError
from .merged_groups import MergedGroupsOptimWrapperConstructor, merge_groups


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class LayerDecayOptimWrapperConstructor(
    MergedGroupsOptimWrapperConstructor, LearningRateDecayOptimWrapperConstructor
):
    """mmpretrain's layer decay with a group for each layer and weight decay.

    Of L layers, what precedes them has depth 0, layer i depth i (from 1) and what follows them
    depth L + 1; a parameter of depth l learns at lr · d^(L + 1 - l), where d is
    ``layer_decay_rate`` of ``paramwise_cfg`` (BEiT, arXiv 2106.08254). The host makes one group a
    parameter. Models that tell no depths, as detectors, have those of their ``backbone``.
    """

    def add_params(self, params: list[dict], module: nn.Module, prefix: str = '', **kwargs) -> None:
        """Collect the groups of ``module`` into ``params``; see the host."""
        if prefix == '' and not hasattr(module, 'get_layer_depth'):
            backbone = getattr(module, 'backbone', None)
            if not hasattr(backbone, 'get_layer_depth'):
                raise InputError(
                    f'LayerDecayOptimWrapperConstructor needs the depths of layers, which '
                    f'{type(module).__name__} and its backbone {type(backbone).__name__} do not '
                    'tell: use the backbone PretrainedViT or another optim_wrapper.constructor.'
                )
            kwargs.setdefault(
                'get_layer_depth', partial(backbone.get_layer_depth, prefix='backbone.')
            )
        super().add_params(params, module, prefix, **kwargs)
        if prefix == '':
            for group in params:
                group.pop('param_name', None)  # it tells groups apart that are equal
            params[:] = merge_groups(params)
