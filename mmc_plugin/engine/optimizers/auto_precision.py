"""Mixed precision that fits the device, on CPU and GPU."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import contextmanager

import torch
import torch.nn as nn
from mmengine.device import get_device
from mmengine.logging import print_log
from mmengine.optim import OptimWrapper
from mmengine.runner import autocast
from mmpretrain.registry import OPTIM_WRAPPERS

from ...errors import InputError
from ..precision import DTYPES, agreed_precision, why_not


@OPTIM_WRAPPERS.register_module()
class AutoPrecisionOptimWrapper(OptimWrapper):
    """Runs forward passes in bf16, fp16 or fp32, whichever fits the device.

    bf16 has the range of fp32 and needs no loss scaling: no skipped step and no synchronisation
    with the device. fp16 has it, dynamic, as in mmengine's ``AmpOptimWrapper``, which runs on no
    CPU. In fp32 this is mmengine's ``OptimWrapper``. Weights are fp32 in all three.

    The precision is part of the state: with ``'auto'`` a resumed run goes on in the one that it
    began with. States without one are those of former versions, which had bf16 only, or of
    mmengine's wrappers; if they hold a loss scale, fp16 was theirs.

    Args:
        precision (str): ``'auto'``, see :func:`mmc_plugin.engine.precision.choose_precision`, or
            ``'bf16'``, ``'fp16'`` or ``'fp32'``, which force one.
        clip_grad (dict, optional): The host's, or ``dict(type='tensor', max_norm=...)``, see
            :func:`clip_each_grad_norm`. A parameter whose ``clipped`` is False is left alone.
        **kwargs: Of :class:`mmengine.optim.OptimWrapper`.

    Raises:
        ValueError: If there is no such precision, or the device has not the one that is forced.
    """

    # Whether the gradient norm waits on the device for take_grad_norm(), rather than being read,
    # and the device waited for, at each step as the host does.
    defer_grad_norm = False
    # Whether the loss that the optimiser's next step is of is kept for take_loss().
    keep_loss = False

    def __init__(
        self, *args, precision: str = 'auto', clip_grad: dict | None = None, **kwargs
    ) -> None:
        clip_grad = dict(clip_grad or {})
        each = clip_grad.get('type') == 'tensor'
        if each:
            del clip_grad['type']
        super().__init__(*args, clip_grad=clip_grad or None, **kwargs)
        if each:
            self.clip_func = clip_each_grad_norm
        self.device = get_device()
        self.forced = precision != 'auto'
        if not self.forced:
            precision, reason = agreed_precision(self.device)
            print_log(f"Training in {precision} (precision='auto'): {reason}.", 'current')
        elif precision not in DTYPES:
            raise InputError(
                f"optim_wrapper.precision is {precision!r}: it must be 'auto' or one of "
                f'{", ".join(map(repr, DTYPES))}'
            )
        elif (reason := why_not(precision, self.device)) is not None:
            raise InputError(
                f'optim_wrapper.precision is {precision!r}, but {reason}: set it to '
                "'auto', which takes what fits the machine"
            )
        else:
            print_log(f'Training in {precision}, as the config says.', 'current')
        self._use(precision)

    def _use(self, precision: str) -> None:
        self.precision = precision
        self.loss_scaler = self._make_scaler(enabled=precision == 'fp16')

    def _make_scaler(self, enabled: bool) -> torch.amp.GradScaler:
        """One that passes everything through unless it is enabled."""
        return torch.amp.GradScaler(self.device, enabled=enabled)

    # Dynamo fails inside nested generators. Where it only meets the context from outside, it runs
    # the training step as it is and compiles what the step calls, the forward pass above all.
    @torch.compiler.disable
    @contextmanager
    def optim_context(self, model: nn.Module):
        """Autocast besides the host's handling of gradient accumulation."""
        with super().optim_context(model):
            if self.precision == 'fp32':
                yield
            else:
                with autocast(dtype=DTYPES[self.precision]):
                    yield

    @torch.compiler.disable
    def update_params(self, *args, **kwargs) -> None:
        """As the host does, and never compiled: with each new learning rate it would be again."""
        super().update_params(*args, **kwargs)

    def backward(self, loss: torch.Tensor, **kwargs) -> None:
        """Back-propagate the loss, a scalar, scaled in fp16."""
        if self.keep_loss:  # the sum, where gradients are accumulated
            self._loss = self.__dict__.get('_loss', 0) + loss.detach()
        super().backward(self.loss_scaler.scale(loss), **kwargs)

    def step(self, **kwargs) -> None:
        """Clip and step; in fp16 a step with gradients that overflow is left out."""
        if self.clip_grad_kwargs:
            self.loss_scaler.unscale_(self.optimizer)
            self._clip_grad()
        self.loss_scaler.step(self.optimizer, **kwargs)
        self.loss_scaler.update()

    def _clip_grad(self) -> None:
        params = [
            param
            for group in self.optimizer.param_groups
            for param in group['params']
            if param.requires_grad and self._has_grad(param) and getattr(param, 'clipped', True)
        ]
        norm = self.clip_func(params, **self.clip_grad_kwargs) if params else None
        if self.defer_grad_norm:
            self._grad_norm = norm
        elif norm is not None:  # as the host does
            self.message_hub.update_scalar(f'train/{self.grad_name}', float(norm))

    def _has_grad(self, param: nn.Parameter) -> bool:
        return param.grad is not None

    def take_grad_norm(self) -> dict[str, torch.Tensor]:
        """The deferred norm before clipping, by its name in the log.

        Returns:
            dict[str, torch.Tensor]: Name → scalar on the device; empty if there was no optimiser
            step since the last call, or nothing to clip.
        """
        norm = self.__dict__.pop('_grad_norm', None)
        return {} if norm is None else {self.grad_name: norm}

    def take_loss(self) -> torch.Tensor:
        """The kept loss since the last call, of which the gradient is; a scalar on the device."""
        return self.__dict__.pop('_loss')

    def precision_state(self) -> dict:
        """What the state has besides the optimiser's: precision, and in fp16 the loss scale."""
        state = dict(precision=self.precision)
        if self.precision == 'fp16':
            state['loss_scaler'] = self.loss_scaler.state_dict()
        return state

    def state_dict(self) -> dict:
        """The host's state with :meth:`precision_state`."""
        return super().state_dict() | self.precision_state()

    def load_state_dict(self, state_dict: dict) -> None:
        """Load a state of this class or of one of mmengine's wrappers.

        The precision becomes that of the state unless another is forced or the device has it not;
        the log says if the run changes.
        """
        state_dict = dict(state_dict)
        scale = state_dict.pop('loss_scaler', None)
        before = state_dict.pop('precision', None if scale is None else 'fp16')
        self._go_on_from(before)
        if self.precision == 'fp16' and scale is not None:
            self.loss_scaler.load_state_dict(scale)
        super().load_state_dict(state_dict)

    def _go_on_from(self, before: str | None) -> None:
        """Take the precision of a state if that is possible, and tell the log."""
        if before is not None and before not in DTYPES:
            raise InputError(
                f'the checkpoint says that its precision is {before!r}, which is none of '
                f'{", ".join(DTYPES)}'
            )
        if self.precision == before:
            return
        if before is None and self.precision == 'bf16':
            print_log(
                'The checkpoint names no precision; this run goes on in bf16, as those of former '
                'versions of this wrapper did.',
                'current',
            )
            return
        reason = 'as the config says'
        if not self.forced:
            reason = 'which fits this machine'
            if before is not None:
                reason = why_not(before, self.device, emulation=False)
        if reason is None:
            print_log(
                f'Going on in {before}, as this run began. What fits this machine is '
                f'optim_wrapper.precision={self.precision}.',
                'current',
            )
            self._use(before)
            return
        began = f'This run began in {before}'
        if before is None:
            began = 'The checkpoint names no precision, and those of former versions were bf16'
        print_log(
            f'The precision changes. {began}; it goes on in {self.precision}: {reason}.',
            'current',
            logging.WARNING,
        )


@torch.no_grad()
def clip_each_grad_norm(parameters: Sequence[nn.Parameter], max_norm: float) -> torch.Tensor:
    """Scale the gradient of each parameter by itself to a norm of at most ``max_norm``.

    As the SiT, DINO, iBOT and MC-SSL releases clip; nothing waits for the device.

    Args:
        parameters (Sequence[nn.Parameter]): With gradients.
        max_norm (float): Bound of the 2-norm of each.

    Returns:
        torch.Tensor: The norm of all gradients together before, a scalar.
    """
    grads = [p.grad for p in parameters]
    norms = torch.stack(torch._foreach_norm(grads))
    torch._foreach_mul_(grads, list((max_norm / (norms + 1e-6)).clamp(max=1.0)))
    return norms.norm()


@OPTIM_WRAPPERS.register_module()
class BFloat16OptimWrapper(AutoPrecisionOptimWrapper):
    """:class:`AutoPrecisionOptimWrapper` that is always in bf16.

    Args: as :class:`mmengine.optim.OptimWrapper`.
    """

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, precision='bf16', **kwargs)
