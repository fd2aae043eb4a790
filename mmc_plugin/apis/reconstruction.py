"""What the student of a checkpoint paints where an image was corrupted."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from mmengine.registry import DefaultScope
from mmpretrain.registry import MODELS
from torch import Tensor, nn

from ..checkpoints import read_checkpoint
from ..checkpoints.run_config import read_run_config
from ..datasets.transforms.gmml import GMMLMask
from ..errors import InputError
from ..evaluation.reconstruction import corrupt_and_reconstruct, draw_corruption
from ..models.selfsup import PretrainingMethod
from .features import Photograph, to_pixels

_OTHERS = 'name one of a run of MMC, SiT or MC-SSL'
_PARTS = ('backbone.', 'rec_head.')


@dataclass
class Reconstruction:
    """A corrupted image and what the student made of it; uint8 RGB (S, S, 3) each.

    Attributes:
        clean: The middle of the image.
        corrupted: As the student saw it.
        reconstructed: What it painted, everywhere.
        mask: bool (S, S), True = corrupted.
        filling: ``'noise'``, ``'zeros'`` or ``'another image'``.
    """

    clean: np.ndarray
    corrupted: np.ndarray
    reconstructed: np.ndarray
    mask: np.ndarray
    filling: str


def load_student_weights(model: nn.Module, weights: Mapping[str, Tensor], path: str) -> None:
    """Load the student's encoder and reconstruction head, all that pictures of them need.

    Args:
        model (nn.Module): A method of pretraining.
        weights (Mapping[str, Tensor]): Of the whole method.
        path (str): Where they come from, for the message.

    Raises:
        ValueError: If they do not fit the model.
    """
    needed = {key: value for key, value in model.state_dict().items() if key.startswith(_PARTS)}
    absent = [key for key in needed if key not in weights]
    other = [
        f'{key} is {tuple(getattr(weights[key], "shape", ()))}, not {tuple(value.shape)}'
        for key, value in needed.items()
        if key in weights and getattr(weights[key], 'shape', None) != value.shape
    ]
    # Deeper layers than the config's: all its weights would fit, and the pictures mean nothing.
    extra = [key for key in weights if str(key).startswith(_PARTS) and key not in needed]
    complaints = [
        f'{len(found)} weights {what} ({", ".join(found[:3])}{", …" if len(found) > 3 else ""})'
        for what, found in (
            ('are missing', absent), ('have another shape', other), ('are too many', extra))
        if found
    ]  # fmt: skip
    if complaints:
        raise InputError(
            f'the checkpoint {path} does not fit the config: {"; ".join(complaints)}; '
            'name the config that it was trained with'
        )
    model.load_state_dict({key: weights[key] for key in needed}, strict=False)


def load_student(
    checkpoint: str | os.PathLike, device: str | torch.device = 'cpu'
) -> PretrainingMethod:
    """The method of pretraining that a run's checkpoint holds, with its reconstruction head.

    Args:
        checkpoint (str | PathLike): A file of a run, which says how it was trained.
        device (str | torch.device): Where it shall be.

    Returns:
        PretrainingMethod: In evaluation mode; its student is loaded, other parts may not be.

    Raises:
        ValueError: If it holds no student that reconstructs.
    """
    path = os.fspath(checkpoint)
    content = read_checkpoint(path).content
    meta = content.get('meta')
    told = read_run_config(meta.get('cfg') if isinstance(meta, Mapping) else None)
    config, weights = told.get('model'), content.get('state_dict')
    if not isinstance(config, dict) or not isinstance(weights, Mapping):
        raise InputError(f'{path} holds no student: it is not the checkpoint of a run; {_OTHERS}.')
    if not any(str(key).startswith('rec_head.') for key in weights):
        raise InputError(
            f'The student in {path} was trained without a reconstruction head; {_OTHERS}.'
        )
    if 'data_preprocessor' in told:  # as mmengine's runner does
        config = dict(data_preprocessor=told['data_preprocessor']) | config
    config = _harmless(config, path)
    # Built without memory first: a config may ask for any size, the file holds what there is.
    with torch.device('meta'):
        size = _count(_build(config, path).state_dict())
    if size > 2 * _count(weights):
        raise InputError(f'The config in {path} is of a model with {size:,} weights, not of this.')
    model = _build(config, path)
    if not getattr(model, 'reconstructs', False):
        raise InputError(
            f'The student in {path} was trained without a reconstruction head; {_OTHERS}.'
        )
    load_student_weights(model, weights, path)
    model.to(device).eval()
    return model


def _build(config: dict, path: str) -> nn.Module:
    try:
        with DefaultScope.overwrite_default_scope('mmpretrain'), torch.random.fork_rng(devices=[]):
            return MODELS.build(config)
    # Whatever a constructor says to settings that nobody wrote for it.
    except Exception as error:
        raise InputError(f'The student in {path} cannot be built: {error}') from error


def _count(tensors: Mapping[str, Any]) -> int:
    return sum(each.numel() for each in tensors.values() if isinstance(each, Tensor))


def _harmless(config: Any, path: str) -> Any:
    """A config that runs and reads nothing else.

    Only what is registered is built: a dotted name could be any function of any package. And what
    a backbone started from is no longer needed.
    """
    if isinstance(config, dict):
        kind = config.get('type', '')
        if not isinstance(kind, str) or '.' in kind:
            raise InputError(f'The config in {path} names {kind!r}, which is not registered.')
        return {
            key: _harmless(each, path)
            for key, each in config.items()
            if key not in ('checkpoint', 'allow_pickle')
        }
    if isinstance(config, list | tuple):
        return type(config)(_harmless(each, path) for each in config)
    return config


def reconstruct(
    model: PretrainingMethod,
    image: Photograph,
    coverage: float = 0.75,
    seed: int = 0,
    other: Photograph | None = None,
) -> Reconstruction:
    """Corrupt the middle square of an image and let the student paint it.

    Args:
        model (PretrainingMethod): Of :func:`load_student`.
        image: A photograph as :func:`to_pixels` takes it.
        coverage (float): The most of it that is corrupted. Defaults to 0.75 [arXiv 2308.11448, §3];
            SiT and MC-SSL learned from 0.5 [releases].
        seed (int): Of the mask and the noise.
        other: What to fill the mask with; by default what the method takes: noise, or zeros.

    Returns:
        Reconstruction: At the size that the student was trained at.

    Raises:
        ValueError: If the coverage is not in (0, 1].
        UnreadableImageError: If an image cannot be read.
    """
    if not 0 < coverage <= 1:
        raise InputError(f'coverage must be above 0 and at most 1, got {coverage}.')
    size = min(model.backbone.img_size)
    given = [image] if other is None else [other, image]
    images = torch.stack([_middle(to_pixels(each), size) for each in given])
    gmml = GMMLMask(noise_ratio=coverage, alien_ratio=coverage, align=model.patch_size)
    # An alien region is filled with the image before.
    alien = torch.full((len(given),), other is not None)
    mask, noise = draw_corruption(gmml, alien, size, seed)
    clean, corrupted, made, fillings = corrupt_and_reconstruct(model, images, mask, alien, noise)
    return Reconstruction(clean[-1], corrupted[-1], made[0, -1], mask[-1].numpy(), fillings[-1])


def _middle(image: Tensor, size: int) -> Tensor:
    """The middle square of an image (3, H, W), resized to (3, size, size)."""
    side = min(image.shape[1:])
    top, left = ((each - side) // 2 for each in image.shape[1:])
    square = image[None, :, top : top + side, left : left + side].float()
    small = F.interpolate(square, (size, size), mode='bilinear', antialias=True)[0]
    return small.round().clamp(0, 255).byte()
