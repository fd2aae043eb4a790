"""Gathering and averaging over processes, with the gradients of the whole batch."""

import torch
import torch.distributed as dist
from mmengine.dist import all_reduce, get_rank, get_world_size
from torch import Tensor
from torch.autograd.function import FunctionCtx


def gather_with_grad(x: Tensor) -> Tensor:
    """Concatenate the tensors of all processes along dim 0, in rank order.

    The gradient of each part flows back to the process that owns it, summed over processes: every
    process may use every part. All processes must call it (and its backward) with one shape and
    dtype. Without ``torch.distributed``, or in one process, the tensor is returned as it is.

    Args:
        x (Tensor): (n, ...), with the same n on all processes.

    Returns:
        Tensor: (processes · n, ...).
    """
    return x if get_world_size() == 1 else _Gather.apply(x)


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor) -> Tensor:
        gathered = x.new_empty(get_world_size() * len(x), *x.shape[1:])
        dist.all_gather_into_tensor(gathered, x.contiguous())
        return gathered

    @staticmethod
    def backward(ctx: FunctionCtx, grad: Tensor) -> Tensor:
        # Not reduce_scatter, which the gloo of older torch lacks.
        grad = grad.clone(memory_format=torch.contiguous_format)
        all_reduce(grad)
        return grad.chunk(get_world_size())[get_rank()]


def global_mean(numerator_sum: Tensor, count: Tensor | float) -> Tensor:
    """Divide so that the average over processes is the mean over the whole batch.

    Data parallelism averages gradients over processes, which weighs them wrongly where each
    divides by its own count. Here each divides by the average count, so that the average of the
    results, and of their gradients, is Σ numerator_sum / Σ count over all processes. The count gets
    no gradient; nothing waits for the device.

    Args:
        numerator_sum (Tensor): Scalar, the sum over this process's items.
        count (Tensor | float): Scalar, how many items (or how much weight) that is.

    Returns:
        Tensor: Scalar; 0 where the count is 0 on all processes and so the sum is empty.
    """
    dtype = torch.promote_types(numerator_sum.dtype, torch.float32)
    if isinstance(count, Tensor):
        count = count.detach().to(numerator_sum.device, dtype, copy=True)
    else:
        count = torch.full((), count, dtype=dtype, device=numerator_sum.device)
    world_size = get_world_size()
    if world_size > 1:
        all_reduce(count)
    return numerator_sum / torch.where(count > 0, count / world_size, 1)
