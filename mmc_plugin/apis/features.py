"""Features of photographs, as a notebook asks for them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from ..datasets.transforms.image_headers import UndecodableError
from ..datasets.transforms.loading import (
    MAX_PIXELS,
    LoadImage,
    UnreadableImageError,
    decode_image,
)
from ..datasets.transforms.pillow_images import pillow_to_bgr, upright
from ..errors import InputError
from ..models.features import FrozenFeatures
from ..models.selfsup import lacking
from .load_backbone import load_backbone

# A photograph: a file, the bytes of one, a PIL image, or RGB pixels.
Photograph = str | Path | bytes | Image.Image | np.ndarray


def to_pixels(image: Photograph) -> Tensor:
    """Decode a photograph.

    Args:
        image (str | Path | bytes | Image | ndarray): A file, the bytes of one, a PIL image, or
            uint8 RGB (H, W, 3) or grey (H, W). Files, bytes and PIL images are turned upright as
            their EXIF says.

    Returns:
        Tensor: uint8 RGB (3, H, W).

    Raises:
        UnreadableImageError: If a file or bytes are no image.
        ValueError: If an array is none of the above, or the type is another.
    """
    if isinstance(image, str | Path):
        pixels = LoadImage()(dict(img_path=os.fspath(image)))['img'][..., ::-1]
    elif isinstance(image, bytes):
        try:
            pixels = decode_image(image, MAX_PIXELS)[..., ::-1]
        except UndecodableError as error:
            raise UnreadableImageError(f'{len(image)} bytes', str(error)) from error
    elif isinstance(image, Image.Image):
        try:
            pixels = pillow_to_bgr(upright(image))[..., ::-1]
        except UndecodableError as error:
            raise UnreadableImageError('a PIL image', str(error)) from error
    elif isinstance(image, np.ndarray):
        pixels = image
        if pixels.ndim == 2:
            pixels = np.repeat(pixels[..., None], 3, 2)
        if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or not pixels.size:
            raise InputError(
                'An image array must be uint8 of shape (H, W, 3), RGB, or (H, W), '
                f'got {image.dtype} of shape {image.shape}.'
            )
    else:
        raise InputError(
            f'An image must be a path, bytes, a PIL image or an array, got {type(image).__name__}.'
        )
    return torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))


def frozen_features(
    source: str | os.PathLike | nn.Module, device: str | torch.device = 'cpu', **settings: Any
) -> FrozenFeatures:
    """A model of features from a checkpoint, a backbone or a pretrained model.

    Args:
        source (str | PathLike | nn.Module): What :func:`load_backbone` reads; a ViT with
            ``out_type='raw'``; a :class:`PretrainingMethod` such as :class:`MMC`, of which the
            teacher's is taken; another model with a ``backbone``; or :class:`FrozenFeatures`.
        device (str | torch.device): Where it shall be. A given backbone is not copied: it is moved
            there and frozen.
        **settings: Of :class:`FrozenFeatures`.

    Returns:
        FrozenFeatures: In evaluation mode.
    """
    if isinstance(source, FrozenFeatures):
        return source.to(device)
    if isinstance(source, str | os.PathLike):
        backbone = load_backbone(source)
    elif hasattr(source, 'backbone'):
        backbone = source.backbone if lacking(source) else source.network('teacher')
        preprocessor = getattr(source, 'data_preprocessor', None)
        for name in ('mean', 'std'):
            values = getattr(preprocessor, name, None)
            if values is not None:
                settings.setdefault(name, values.flatten().tolist())
    else:
        backbone = source
    return FrozenFeatures(backbone, **settings).to(device)


def extract_features(
    source: str | os.PathLike | nn.Module,
    images: Photograph | Sequence[Photograph],
    layers: Sequence[int] = (-1,),
    size: int = 480,
    device: str | torch.device = 'cpu',
    fit: str = 'stretch',
) -> tuple[Tensor, Tensor]:
    """Class and patch tokens of photographs, as the network gives them.

    ``stride`` and ``debias`` of a given model are for maps of patches, :meth:`FrozenFeatures.grid`.

    For many calls give a model, so that a checkpoint is read once:
    ``model = frozen_features('checkpoint.pth')``.

    Args:
        source (str | PathLike | nn.Module): See :func:`frozen_features`.
        images: One or B photographs, each as :func:`to_pixels` takes it, of any sizes.
        layers (Sequence[int]): L layers, counted from 0, or from the end by negative numbers. The
            norm that follows the last one is applied to all.
        size (int): Side of the square that images are resized to, rounded to the nearest multiple
            of the patch size p.
        device (str | torch.device): Where the model runs.
        fit (str): ``'stretch'``, or ``'pad'`` to keep the aspect. Of a given model its own holds.

    Returns:
        tuple[Tensor, Tensor]: Class tokens (L, B, D) and patch tokens (L, B, h, w, D), h = w =
        size / p.

    Raises:
        ValueError: If there is no such layer or no image.
    """
    model = frozen_features(
        source, device, **({} if isinstance(source, FrozenFeatures) else dict(fit=fit))
    )
    images = list(images) if isinstance(images, list | tuple) else [images]
    if not images:
        raise InputError('There is no image to extract features of.')
    inputs = model.prepare([to_pixels(image) for image in images], size)
    cls, patches = model.tokens(inputs, layers)
    return torch.stack(cls), torch.stack(patches)
