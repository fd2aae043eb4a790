"""Which floating-point type a training runs its layers in, by what the device is fast at."""

from __future__ import annotations

import math
import time
from functools import cache

import torch
from mmengine.dist import broadcast_object_list

DTYPES = dict(bf16=torch.bfloat16, fp16=torch.float16, fp32=torch.float32)
# A CPU with instructions for bfloat16 is 2 times as fast in it as in fp32 or more; one with AVX-512
# alone takes 3 times as long in it, one with AVX2 30 to 40 times. Casts take some of a gain.
WORTH = 1.1


def choose_precision(device: str) -> tuple[str, str]:
    """The precision that a device is fastest in and safe with.

    A GPU of compute capability 8 or more has bfloat16, an older one fp16; a CPU is measured, once
    in a process, since what its instructions give depends on the library as much as on the
    processor. Other devices get fp32.

    Args:
        device (str): As :func:`mmengine.device.get_device` names it: ``'cuda'``, ``'cpu'``, ….

    Returns:
        tuple[str, str]: ``'bf16'``, ``'fp16'`` or ``'fp32'``, and why, a clause for the log.
    """
    if device == 'cuda':
        return ('bf16' if _has_bf16_units() else 'fp16'), _capability()
    if device == 'cpu':
        speedup = bf16_speedup()
        reason = f'a product in bf16 takes this CPU {1 / speedup:.2g} times as long as in fp32'
        return ('bf16' if speedup >= WORTH else 'fp32'), reason
    return 'fp32', f'half precision is not known to be safe on {device}'


def agreed_precision(device: str) -> tuple[str, str]:
    """:func:`choose_precision` of the first process, in all processes of a distributed run."""
    choice = list(choose_precision(device))
    broadcast_object_list(choice)
    return choice[0], choice[1]


def why_not(precision: str, device: str, emulation: bool = True) -> str | None:
    """Why a device cannot train in a precision; None if it can.

    Args:
        precision (str): ``'bf16'``, ``'fp16'`` or ``'fp32'``.
        device (str): As for :func:`choose_precision`.
        emulation (bool): Whether bf16 by way of fp32, as on GPUs without units for it, will do.
    """
    if precision == 'fp16' and device == 'cpu':
        return 'fp16 needs a GPU, and this machine shows none'
    if precision == 'bf16' and device == 'cuda':
        if not (torch.cuda.is_bf16_supported() if emulation else _has_bf16_units()):
            return f'{_capability()}, too little for bf16'
    if precision != 'fp32' and device == 'mps':
        return f'mmengine has no {precision} on mps'
    return None


def _has_bf16_units() -> bool:
    return torch.cuda.get_device_capability() >= (8, 0)


def _capability() -> str:
    major, minor = torch.cuda.get_device_capability()
    return f'{torch.cuda.get_device_name()} has compute capability {major}.{minor}'


@cache
def bf16_speedup() -> float:
    """How many times faster the CPU multiplies two matrices in bfloat16 than in fp32."""
    speedup = _compare(256)
    if speedup > 0.5 and torch.get_num_threads() > 1:
        # As much work for each of the threads, whose start would hide the difference.
        speedup = _compare(round(256 * torch.get_num_threads() ** (1 / 3)))
    return speedup


def _compare(size: int) -> float:
    best = {torch.float32: math.inf, torch.bfloat16: math.inf}
    began = time.perf_counter()
    for turn in range(10):
        for dtype in best:  # in turns, and the best of many: other programs may be running
            best[dtype] = min(best[dtype], time_product(dtype, size))
        if turn >= 3 and time.perf_counter() - began > 0.2:
            break
    return best[torch.float32] / best[torch.bfloat16]


@torch.inference_mode()
def time_product(dtype: torch.dtype, size: int) -> float:
    """Seconds that the CPU takes for one product of two ``size`` × ``size`` matrices."""
    matrix = torch.ones(size, size, dtype=dtype, device='cpu')
    began = time.perf_counter()
    matrix @ matrix
    return time.perf_counter() - began
