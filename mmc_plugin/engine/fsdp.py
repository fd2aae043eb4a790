"""Fully sharded training (FSDP) of large models, through mmengine's ``FlexibleRunner``.

mmengine's strategy and optimiser wrappers leave four gaps for a model with a momentum teacher, and
each part of this module closes one; ``configs/_base_/fsdp.py`` puts them together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import torch
from mmengine._strategy import FSDPStrategy
from mmengine.device import get_device
from mmengine.dist import all_reduce, get_world_size, is_distributed
from mmengine.logging import print_log
from mmengine.model import BaseDataPreprocessor
from mmengine.registry import STRATEGIES
from mmpretrain.registry import OPTIM_WRAPPER_CONSTRUCTORS, OPTIM_WRAPPERS
from torch import Tensor, nn
from torch.distributed import fsdp
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FullyShardedDataParallel
from torch.distributed.fsdp.sharded_grad_scaler import ShardedGradScaler

from ..errors import InputError
from .optimizers import AutoPrecisionOptimWrapper, MergedGroupsOptimWrapperConstructor

_WHOLE = StateDictOptions(full_state_dict=True, cpu_offload=True)


def wrap_types(
    module: nn.Module, recurse: bool, nonwrapped_numel: int, types: Sequence[str]
) -> bool:
    """Policy of FSDP that makes a unit of each module of some classes, named in a config.

    A unit's parameters are laid end to end and cut into one part for each process. Where the whole
    of a student module is made of units, so is the teacher's copy, and both are cut alike: each
    process holds the same part of both and moves the teacher by itself.

    Args:
        module (nn.Module): Of torch's interface: the module in question.
        recurse (bool): Of torch's interface: whether its children are in question.
        nonwrapped_numel (int): Of torch's interface.
        types (Sequence[str]): Names of classes.

    Returns:
        bool: Whether to look at the children, or to make a unit.
    """
    return recurse or type(module).__name__ in types


def check_shardable(model: nn.Module) -> None:
    """Refuse a method that moves its teacher in its forward pass.

    Parameters that FSDP has gathered for it are dropped after it, and the move with them.

    Args:
        model (nn.Module): A :class:`PretrainingMethod`, or any other model.

    Raises:
        ValueError: Naming the model.
    """
    moves_it_itself = hasattr(model, 'momentum_at') and model.momentum_at(0, 1) is None
    if moves_it_itself and model.network('teacher') is not model.network('student'):
        raise InputError(
            f'{type(model).__name__} moves its teacher in its forward pass, which is lost where a '
            'model is sharded: train it without _base_/fsdp.py'
        )


@STRATEGIES.register_module()
class ShardedStrategy(FSDPStrategy):
    """mmengine's ``FSDPStrategy``, which also runs on CPUs and can be resumed.

    mmengine 0.10 hands FSDP the number of a GPU, and calls ``optim_state_dict_to_load`` with the
    order of arguments that torch had before 2.1.

    Takes the arguments of ``FSDPStrategy``; ``state_dict_cfg='full'`` makes one file of a
    checkpoint, with the names of the unsharded model.
    """

    @staticmethod
    def _check_distributed() -> None:
        if not is_distributed():
            raise InputError(
                'this config shards the model over several processes: start it with '
                'tools/dist_train.sh CONFIG NUMBER_OF_GPUS'
            )

    def _wrap_model(self, model: nn.Module) -> nn.Module:
        self._check_distributed()
        check_shardable(model)
        if not torch.cuda.is_available():
            self.model_wrapper = dict(self.model_wrapper or {}, device_id='cpu')
            for name in ('state_dict_config', 'optim_state_dict_config'):
                # "Offloading" what is there already frees it (pytorch/pytorch#188989).
                setattr(self, name, replace(getattr(self, name), offload_to_cpu=False))
        return super()._wrap_model(model)

    def optim_state_dict(self) -> dict:
        """The optimiser's state, with the precision, which FSDP would leave out."""
        state = super().optim_state_dict()
        if isinstance(self.optim_wrapper, AutoPrecisionOptimWrapper):
            state |= self.optim_wrapper.precision_state()
        return state

    def load_optim_state_dict(self, state_dict: dict) -> None:
        """Give each process its part of the optimiser's state."""
        part = FullyShardedDataParallel.optim_state_dict_to_load(
            model=self.model, optim=self.optim_wrapper.optimizer, optim_state_dict=state_dict
        )
        for key in ('precision', 'loss_scaler'):
            if key in state_dict:
                part[key] = state_dict[key]
        self.optim_wrapper.load_state_dict(part)


@STRATEGIES.register_module()
class FullyShardStrategy(ShardedStrategy):
    """The same by FSDP2 (:func:`torch.distributed.fsdp.fully_shard`), with the same checkpoints.

    Each parameter is sharded by itself, under its own name, and no module is wrapped, so that
    optimisers and hooks need nothing else; see :class:`FullyShardOptimWrapper`.

    Args:
        model_wrapper (dict): Of :class:`ShardedStrategy`, of which are read the ``types`` of
            ``auto_wrap_policy`` and ``sharding_strategy``: ``'FULL_SHARD'``, or
            ``'SHARD_GRAD_OP'`` to keep what is gathered until the backward pass is done.
        **kwargs: Of :class:`ShardedStrategy`. Checkpoints are always those of the whole model.

    Raises:
        ValueError: For another ``sharding_strategy``, or before PyTorch 2.6.
    """

    def __init__(self, *, model_wrapper: dict, **kwargs) -> None:
        super().__init__(model_wrapper=model_wrapper, **kwargs)
        how = model_wrapper.get('sharding_strategy', 'FULL_SHARD')
        if how not in ('FULL_SHARD', 'SHARD_GRAD_OP'):
            raise InputError(
                'strategy.model_wrapper.sharding_strategy of FullyShardStrategy is FULL_SHARD or '
                f'SHARD_GRAD_OP, not {how!r}'
            )
        if not hasattr(fsdp, 'fully_shard'):
            raise InputError(
                f'FullyShardStrategy needs PyTorch 2.6 or later, this is {torch.__version__}: set '
                'strategy.type=ShardedStrategy'
            )
        self._reshard = how == 'FULL_SHARD'

    def _wrap_model(self, model: nn.Module) -> nn.Module:
        self._check_distributed()
        check_shardable(model)
        for module in model.modules():
            if isinstance(module, BaseDataPreprocessor):
                module.to(get_device())
        types = self.model_wrapper['auto_wrap_policy']['types']
        device = 'cuda' if torch.cuda.is_available() else 'cpu'
        options = dict(
            mesh=init_device_mesh(device, (get_world_size(),)), reshard_after_forward=self._reshard
        )
        marks = {name: vars(each) for name, each in model.named_parameters()}
        units = [each for each in model.modules() if type(each).__name__ in types]
        for module in reversed(units):  # the inner ones first
            fsdp.fully_shard(module, **options)
        fsdp.fully_shard(model, **options)
        # Parameters are others now, and know nothing of what was said of them (``clipped``).
        for name, parameter in model.named_parameters():
            vars(parameter).update(marks[name])
        return model

    def model_state_dict(self) -> dict:
        """Weights of the whole model on the first process; nothing on the others."""
        return get_model_state_dict(self.model, options=_WHOLE)

    def optim_state_dict(self) -> dict:
        """The same of the optimiser, by names of parameters, with the precision."""
        optimizer = self.optim_wrapper.optimizer
        state = get_optimizer_state_dict(self.model, optimizer, options=_WHOLE)
        return state | self.optim_wrapper.precision_state()

    def load_model_state_dict(self, state_dict: dict, *, strict: bool = False, **kwargs) -> None:
        """Give each process its part of the weights of the whole model."""
        options = replace(_WHOLE, strict=strict)
        set_model_state_dict(self.model, state_dict, options=options)

    def load_optim_state_dict(self, state_dict: dict) -> None:
        """Give each process its part of the optimiser's state."""
        optimizer, state = self.optim_wrapper.optimizer, dict(state_dict)
        own = {key: state.pop(key) for key in ('precision', 'loss_scaler') if key in state}
        set_optimizer_state_dict(self.model, optimizer, state, options=_WHOLE)
        self.optim_wrapper.load_state_dict(optimizer.state_dict() | own)


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class ShardedOptimWrapperConstructor(MergedGroupsOptimWrapperConstructor):
    """Groups the parameters of a sharded model by the shapes they have when they are whole.

    A process's parts have one dimension, so ``flat_decay_mult`` would hold for all of them. Needs
    ``use_orig_params=True`` in the model wrapper, mmengine's default.
    """

    def __call__(self, model: nn.Module):
        """Build the optimiser wrapper; see the host."""
        with FullyShardedDataParallel.summon_full_params(model, writeback=False):
            return super().__call__(model)


@OPTIM_WRAPPERS.register_module()
class ShardedAutoPrecisionOptimWrapper(AutoPrecisionOptimWrapper):
    """``AutoPrecisionOptimWrapper`` that clips by the gradient norm of the whole model.

    The host would let each process clip by the norm of its own part, and leave out, in fp16, the
    step of those processes alone whose parts overflow.

    Args:
        clip_grad (dict, optional): ``dict(max_norm=...)``, or with ``type='tensor'`` for the norm
            of each parameter by itself.
        **kwargs: Of :class:`AutoPrecisionOptimWrapper`.
    """

    def __init__(
        self, *args, precision: str = 'auto', clip_grad: dict | None = None, **kwargs
    ) -> None:
        super().__init__(*args, precision=precision, clip_grad=clip_grad, **kwargs)
        if clip_grad is not None:
            if set(clip_grad) - {'type'} != {'max_norm'}:
                raise InputError(f'clip_grad must be dict(max_norm=...), got {clip_grad}.')
            each = clip_grad.get('type') == 'tensor'
            self.clip_func = partial(clip_sharded_grad_norm, each=each)

    def _make_scaler(self, enabled: bool) -> torch.amp.GradScaler:
        return ShardedGradScaler(self.device, enabled=enabled)

    def _has_grad(self, param: nn.Parameter) -> bool:
        return True  # here or in another process: all must list the same parameters


@OPTIM_WRAPPERS.register_module()
class ShardedBFloat16OptimWrapper(ShardedAutoPrecisionOptimWrapper):
    """:class:`ShardedAutoPrecisionOptimWrapper` that is always in bf16."""

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, precision='bf16', **kwargs)


@OPTIM_WRAPPERS.register_module()
class FullyShardOptimWrapper(AutoPrecisionOptimWrapper):
    """``AutoPrecisionOptimWrapper`` for :class:`FullyShardStrategy`, in fp32 or bf16.

    Where ``'auto'`` is fp16, on GPUs without bf16, it is fp32 here.

    Args:
        clip_grad (dict, optional): Of ``AutoPrecisionOptimWrapper``.
        **kwargs: Of :class:`AutoPrecisionOptimWrapper`.

    Raises:
        ValueError: If fp16 is forced.
    """

    def __init__(self, *args, clip_grad: dict | None = None, **kwargs) -> None:
        super().__init__(*args, clip_grad=clip_grad, **kwargs)
        if clip_grad is None:
            return
        clip = self.clip_func
        # Each process has its part of the norm.
        self.clip_func = lambda *args, **kwargs: clip(*args, **kwargs).full_tensor()

    def _use(self, precision: str) -> None:
        if precision == 'fp16' and not self.forced:
            print_log('FullyShardStrategy has no fp16: training in fp32.', 'current')
            precision = 'fp32'
        super()._use(precision)

    def _make_scaler(self, enabled: bool) -> torch.amp.GradScaler:
        if enabled:
            raise InputError(
                'FullyShardStrategy trains in fp32 or bf16, not in fp16: set '
                'optim_wrapper.precision, or take ShardedStrategy'
            )
        return super()._make_scaler(enabled)


@torch.no_grad()
def clip_sharded_grad_norm(
    parameters: Sequence[nn.Parameter], max_norm: float, each: bool = False
) -> Tensor:
    """Scale gradients, of which each process holds parts, to a joint norm of at most ``max_norm``.

    All processes must call it.

    Args:
        parameters (Sequence[nn.Parameter]): Parts of this process, the same parameters in the same
            order in all; one of which a process holds nothing has no gradient there.
        max_norm (float): Bound of the 2-norm over all gradients of all processes.
        each (bool): The bound is that of each parameter instead.

    Returns:
        Tensor: The norm of all before, a scalar, the same in all processes.
    """
    held = [p.grad for p in parameters if p.grad is not None]
    mine = iter(torch._foreach_norm(held) if held else ())
    nothing = torch.zeros((), device=parameters[0].device)
    norms = [nothing if p.grad is None else next(mine).float() for p in parameters]
    squared = torch.stack(norms).square()
    all_reduce(squared, 'sum')
    norm = squared.sum().sqrt()
    # As torch.nn.utils.clip_grad_norm_ does it, without waiting for the device.
    scales = (max_norm / ((squared.sqrt() if each else norm) + 1e-6)).clamp(max=1.0)
    scales = scales.expand(len(parameters)).unbind()
    if held:
        scales = [s for s, p in zip(scales, parameters, strict=True) if p.grad is not None]
        torch._foreach_mul_(held, scales)
    return norm
