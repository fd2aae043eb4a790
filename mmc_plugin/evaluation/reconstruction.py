"""What a student makes of corrupted images (arXiv 2308.11448, figure 9)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from mmpretrain.registry import TRANSFORMS
from torch import Tensor

from ..datasets.transforms.gmml import GMMLMask
from ..models.selfsup import PretrainingMethod
from ..models.utils.corruption import fillings


class Painted(NamedTuple):
    """B corrupted images and what a student made of them, uint8 RGB.

    Attributes:
        clean (np.ndarray): (B, H, W, 3).
        corrupted (np.ndarray): (B, H, W, 3), as they entered the student.
        made (np.ndarray): (L, B, H, W, 3), from the output of L layers.
        fillings (list[str]): B times ``'noise'``, ``'zeros'`` or ``'another image'``.
    """

    clean: np.ndarray
    corrupted: np.ndarray
    made: np.ndarray
    fillings: list[str]


def training_mask(pipeline: Iterable[Callable | dict], size: int, patch_size: int) -> GMMLMask:
    """What draws the masks of a training.

    Args:
        pipeline (Iterable[Callable | dict]): Its transforms, or their configs.
        size (int): Side of the images in pixels that it is to be used on.
        patch_size (int): Of the model.

    Returns:
        GMMLMask: That of the pipeline. Where there is none, or none that fits the size: one that
        draws whole patches as MMC's does, .75 of an image at most, .30 for another image's pixels.
    """
    for step in pipeline:
        if isinstance(step, dict) and step.get('type') == GMMLMask.__name__:
            step = TRANSFORMS.build(step)
        if isinstance(step, GMMLMask) and size % step.align == 0:
            return step
    return GMMLMask(align=patch_size)


def draw_corruption(
    gmml: GMMLMask, alien: Sequence[bool], size: int, seed: int
) -> tuple[Tensor, Tensor]:
    """Draw masks and noise that are the same on every device.

    Args:
        gmml (GMMLMask): Says how much is corrupted, and in which blocks.
        alien (Sequence[bool]): Of B images, True = to be filled with another image.
        size (int): Side of the images in pixels.
        seed (int): Of both.

    Returns:
        tuple[Tensor, Tensor]: Masks, bool of shape (B, size, size), and noise from N(0, 1) of
        shape (B, 3, size, size).
    """
    rng = np.random.RandomState(seed)
    masks = [gmml.draw(size, size, bool(each), rng) for each in alien]
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(len(masks), 3, size, size, generator=generator)
    return torch.from_numpy(np.stack(masks)), noise


@torch.no_grad()
def corrupt_and_reconstruct(
    model: PretrainingMethod,
    images: Tensor,
    mask: Tensor,
    alien: Tensor,
    noise: Tensor,
    layers: Sequence[int] = (-1,),
) -> Painted:
    """Corrupt images as the method does and let the student paint them.

    Args:
        model (PretrainingMethod): One that reconstructs.
        images (Tensor): uint8 RGB of shape (B, 3, H, W).
        mask (Tensor): bool of shape (B, H, W), True = corrupted.
        alien (Tensor): bool of shape (B,), True = filled with the image before.
        noise (Tensor): float of shape (B, 3, H, W), for the others, if the method takes noise.
        layers (Sequence[int]): L layers to paint from, from 0, or negative from the end.
    """
    preprocessor = model.data_preprocessor
    clean = preprocessor.normalise(images)
    inputs = dict(views=clean, mask=mask.to(clean.device), alien=alien.to(clean.device))
    inputs = {name: each[None] for name, each in inputs.items()}
    seen = model.seen(inputs, noise[None].to(clean))
    corrupted = seen.views[0]
    clean, corrupted, *made = (
        preprocessor.denormalise(each).permute(0, 2, 3, 1).numpy()
        for each in (clean, corrupted, *model.reconstruct_layers(corrupted, layers))
    )
    return Painted(clean, corrupted, np.stack(made), fillings(alien, seen.how))
