"""What hooks that look at a model in the middle of its training share."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from mmengine.model import is_model_wrapper
from torch import Tensor, nn


def unwrap(model: nn.Module) -> nn.Module:
    """The model inside a distributed wrapper, or the model itself."""
    return model.module if is_model_wrapper(model) else model


@contextmanager
def undisturbed(model: nn.Module) -> Iterator[None]:
    """Inside: evaluation mode and no gradients. Afterwards all is as before.

    Each module gets back its own mode, and the random states of Python, numpy and torch (CPU
    and current GPU) are restored, so that a training goes on as if nothing had happened.
    """
    modes = [(module, module.training) for module in model.modules()]
    python_state, numpy_state = random.getstate(), np.random.get_state()
    devices = [torch.cuda.current_device()] if torch.cuda.is_available() else []
    with torch.random.fork_rng(devices), torch.no_grad():
        model.eval()
        try:
            yield
        finally:
            for module, mode in modes:
                module.training = mode
            random.setstate(python_state)
            np.random.set_state(numpy_state)


def normalise(model: nn.Module, images: Tensor) -> Tensor:
    """Normalise clean images as the training does, on the model's device.

    Args:
        model (nn.Module): A model whose data preprocessor takes the batches of ``PackViews``.
        images (Tensor): uint8 RGB of shape (B, 3, H, W).

    Returns:
        Tensor: float of shape (B, 3, H, W).
    """
    batch, _, height, width = images.shape
    inputs = dict(
        views=[images.flip(1)],  # the pipeline's order is BGR
        mask=torch.zeros(batch, 1, height, width, dtype=torch.bool),
        alien=torch.zeros(batch, 1, dtype=torch.bool),
    )
    return model.data_preprocessor(dict(inputs=inputs), training=False)['inputs']['views'][0]


def denormalise(model: nn.Module, images: Tensor) -> Tensor:
    """Undo :func:`normalise`.

    Args:
        model (nn.Module): The model whose data preprocessor was used.
        images (Tensor): float of shape (B, 3, H, W).

    Returns:
        Tensor: uint8 RGB of shape (B, 3, H, W) on the CPU.
    """
    # The preprocessor is affine: what it makes of black and of white gives it away, whatever its
    # keys for mean, std and channel order are.
    black = torch.zeros(1, 3, 1, 1, dtype=torch.uint8)
    low, high = normalise(model, black), normalise(model, black + 255)
    pixels = (images.float() - low) / (high - low) * 255
    pixels = pixels.round().clamp(0, 255).to(torch.uint8).cpu()
    rgb = torch.tensor([255, 0, 0], dtype=torch.uint8).view(1, 3, 1, 1)
    red = ((normalise(model, rgb) - low) / (high - low)).flatten()
    return pixels if red[0] > red[2] else pixels.flip(1)
