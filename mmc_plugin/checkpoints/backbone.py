"""Reads the vision transformer out of a checkpoint of any of the known formats."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from mmengine.logging import print_log
from mmengine.utils import to_2tuple
from torch import Tensor

from ..errors import InputError
from .architecture import channels_of, describe, expected_shapes, infer_settings, misfits, some
from .checkpoint import Checkpoint
from .files import read_checkpoint
from .metadata import IMAGENET_MEAN, IMAGENET_STD, ModelMetadata, read_metadata, rotary
from .names import to_mmpretrain
from .networks import find_network
from .releases import recognise


@dataclass
class BackboneWeights:
    """The weights of a vision transformer and what it takes to run it.

    Attributes:
        state_dict (dict[str, Tensor]): float32, in the names of mmpretrain's
            :class:`VisionTransformer`, with ``registers`` (1, R, D) where there are any.
        settings (dict): Keyword arguments of :class:`PretrainedViT`.
        mean (tuple[float, ...]): Of RGB, or of each channel there is, on the scale 0–255, of the
            images that it was trained on.
        std (tuple[float, ...]): Likewise.
        format (str): What the file turned out to be, for people.
        path (str): The source as it was given; empty for dictionaries.
        dropped (list[str]): Names in the file that are not of the backbone: heads, decoders, the
            other network.
    """

    state_dict: dict[str, Tensor] = field(repr=False)
    settings: dict[str, Any]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    format: str
    path: str
    dropped: list[str] = field(repr=False)

    def __str__(self) -> str:
        where = f' in {self.path}' if self.path else ''
        mean, std = (' '.join(f'{x:g}' for x in values) for values in (self.mean, self.std))
        return f'{self.format}{where}: {describe(self.settings)}, mean {mean}, std {std}'


def read_backbone(
    source: str | os.PathLike | Checkpoint | Mapping[str, Any],
    which: str = 'teacher',
    num_heads: int | None = None,
    allow_pickle: bool = False,
    img_size: int | tuple[int, int] | None = None,
) -> BackboneWeights:
    """Read a vision transformer from a checkpoint; the format is found by itself.

    Known are runs of this package and of mmpretrain, backbones in mmpretrain's names, timm,
    Hugging Face ViT and DINOv2, the releases of DINO, iBOT, MAE, MSN, MoCo-v3, SiT, MC-SSL, GMML
    and DINOv2. A weight that nothing is known of, a missing one and one of the wrong shape are
    errors; heads and decoders are dropped.

    Args:
        source (str | PathLike | Checkpoint | Mapping): Anything that :func:`read_checkpoint`
            takes, what it returned, or dictionaries of tensors.
        which (str): ``'teacher'`` or ``'student'`` where a file has both; teacher stands for any
            moving average of the weights (momentum or target encoder).
        num_heads (int, optional): Attention heads, where the file does not say; else they are
            those of the known releases, or one for 64 channels.
        allow_pickle (bool): See :func:`read_checkpoint`.
        img_size (int | tuple[int, int], optional): Image size that the positions are made for,
            where the file does not say and the grid is not square.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it holds no vision transformer of a known kind, or not all of it.
    """
    with backbone_read(source, which, num_heads, allow_pickle, img_size) as weights:
        return weights


@contextmanager
def backbone_read(
    source: str | os.PathLike | Checkpoint | Mapping[str, Any],
    which: str = 'teacher',
    num_heads: int | None = None,
    allow_pickle: bool = False,
    img_size: int | tuple[int, int] | None = None,
) -> Iterator[BackboneWeights]:
    """As :func:`read_backbone`, and weights are searched for NaN in a thread beside what is inside.

    The warning, if there is one, comes on leaving.
    """
    if which not in ('teacher', 'student'):
        raise InputError(f"which must be 'teacher' or 'student', got {which!r}.")
    if isinstance(source, Checkpoint):
        checkpoint = source
    elif isinstance(source, Mapping):
        checkpoint = Checkpoint('', 'dictionaries', source)
    else:
        checkpoint = read_checkpoint(os.fspath(source), allow_pickle)
    origin = f'the checkpoint {checkpoint.path}'.rstrip()
    size = None if img_size is None else to_2tuple(img_size)
    try:
        weights = _read(checkpoint, which, num_heads, size)
    except ValueError as error:
        raise InputError(f'{origin} {error}') from None
    with ThreadPoolExecutor(1) as thread:
        search = thread.submit(not_finite, weights.state_dict)
        yield weights
    if spoilt := search.result():
        print_log(
            f'In {origin} {len(spoilt)} of {len(weights.state_dict)} weights hold NaN or infinity, '
            f'so features will too: {some(spoilt)}. It is damaged, or its training diverged.',
            logger='current',
            level=logging.WARNING,
        )


def _normalisation(metadata: ModelMetadata, channels: int) -> tuple[tuple[float, ...], ...]:
    """Mean and standard deviation of each channel, ImageNet's where nothing is said."""
    told = [
        values if values is not None and len(values) == channels else None
        for values in (metadata.mean, metadata.std)
    ]
    # Other channels: timm's for networks that do not say it.
    usual = (IMAGENET_MEAN, IMAGENET_STD) if channels == 3 else ((127.5,) * channels,) * 2
    return tuple(one or other for one, other in zip(told, usual, strict=True))


def not_finite(weights: Mapping[str, Tensor]) -> list[str]:
    """Names of weights with NaN or infinity in them."""
    # Norms need no memory; those of finite numbers may overflow. All are taken in one call, during
    # which other threads run.
    norms = torch.stack(torch._foreach_norm(list(weights.values())))
    suspects = [name for name, finite in zip(weights, norms.isfinite().tolist()) if not finite]
    return [name for name in suspects if not weights[name].isfinite().all()]


def _read(
    checkpoint: Checkpoint, which: str, num_heads: int | None, img_size: tuple[int, int] | None
) -> BackboneWeights:
    """As :func:`read_backbone`; errors are ends of sentences."""
    metadata = read_metadata(checkpoint.config, checkpoint.content)
    network = find_network(checkpoint.content, which)
    if network.layout == 'dinov3':
        raise rotary('DINOv3')
    weights, dropped, unknown = to_mmpretrain(network.weights, network.layout)
    metadata |= recognise(network, weights, checkpoint.content, dropped)
    if any(value.is_meta or value.layout != torch.strided for value in weights.values()):
        raise InputError('has weights without content or sparse ones, which are not read')
    if not all(value.is_floating_point() for value in weights.values()):
        raise InputError(
            'holds integers as weights: quantised models are not read, name the original'
        )
    settings = infer_settings(weights, metadata, num_heads, img_size)
    mean, std = _normalisation(metadata, channels_of(settings))
    if unknown:
        raise InputError(f'has weights that nothing is known of: {some(unknown)}')
    wrong = misfits(weights, expected_shapes(settings))
    if wrong:
        raise InputError(f'does not hold a whole model ({describe(settings)}); {"; ".join(wrong)}')
    if metadata.antialias:
        settings['pos_antialias'] = True
    role = f' ({network.role})' if network.role != 'network' else ''
    kind = f', {checkpoint.kind}' if checkpoint.kind in ('safetensors', 'onnx') else ''
    return BackboneWeights(
        state_dict={name: value.float().contiguous() for name, value in weights.items()},
        settings=settings,
        mean=mean,
        std=std,
        format=f'{metadata.family}{role}{kind}',
        path=checkpoint.path,
        dropped=network.dropped + [network.path + name for name in dropped],
    )
