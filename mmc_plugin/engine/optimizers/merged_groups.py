"""Few parameter groups instead of one for each parameter."""

from inspect import signature

import torch.nn as nn
from mmengine.optim import DefaultOptimWrapperConstructor
from mmengine.registry import OPTIM_WRAPPERS
from mmpretrain.registry import OPTIM_WRAPPER_CONSTRUCTORS


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class MergedGroupsOptimWrapperConstructor(DefaultOptimWrapperConstructor):
    """The host's ``paramwise_cfg`` with equal groups merged and frozen parameters left out.

    The host makes one group a parameter, so that fused and foreach optimisers run one kernel
    each; and, depending on its version, it lists frozen parameters too.

    ``precision='auto'`` of a config goes with a wrapper that takes it: where another type has been
    put in the place of :class:`AutoPrecisionOptimWrapper`, that one has a precision of its own.
    """

    def __init__(self, optim_wrapper_cfg: dict, paramwise_cfg: dict | None = None) -> None:
        # With nothing in it the host would not call add_params and would list all parameters.
        super().__init__(optim_wrapper_cfg, paramwise_cfg or dict(custom_keys={}))
        # A ConfigDict would turn the groups into ConfigDicts, which torch.compile cannot read.
        self.optimizer_cfg = dict(self.optimizer_cfg)
        if self.optim_wrapper_cfg.get('precision') == 'auto':
            with OPTIM_WRAPPERS.switch_scope_and_registry(None) as registry:
                kind = self.optim_wrapper_cfg.get('type', 'OptimWrapper')
                kind = registry.get(kind) if isinstance(kind, str) else kind
            if kind is not None and 'precision' not in signature(kind.__init__).parameters:
                del self.optim_wrapper_cfg['precision']

    def add_params(self, params: list[dict], module: nn.Module, prefix: str = '', **kwargs) -> None:
        """Collect the groups of ``module`` into ``params``; see the host."""
        if not any(p.requires_grad for p in module.parameters()):
            return
        super().add_params(params, module, prefix, **kwargs)
        if prefix == '':
            params[:] = merge_groups(params)


def merge_groups(groups: list[dict]) -> list[dict]:
    """Groups of equal settings as one, without frozen parameters."""
    merged: dict[tuple, dict] = {}
    for group in groups:
        settings = {key: value for key, value in group.items() if key != 'params'}
        kept = [p for p in group['params'] if p.requires_grad]
        key = tuple(sorted(settings.items()))
        merged.setdefault(key, dict(params=[], **settings))['params'] += kept
    return [group for group in merged.values() if group['params']]
