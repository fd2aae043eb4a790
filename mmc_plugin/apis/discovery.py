"""Objects of photographs without a click."""

from __future__ import annotations

import os

import torch
from torch import nn

from ..evaluation.found_objects import FoundObject, object_masks
from ..evaluation.functional.spectral_cut import check_threshold
from ..structures.image_frame import ImageFrame
from .features import Photograph, frozen_features, to_pixels


def discover_objects(
    source: str | os.PathLike | nn.Module,
    image: Photograph,
    number: int = 1,
    threshold: float | None = None,
    refine: str | None = None,
    device: str | torch.device = 'cpu',
) -> list[FoundObject]:
    """Cut objects out of a photograph by a spectral cut of its patches, see
    :func:`spectral_objects`.

    For many calls give a model: ``model = frozen_features('checkpoint.pth')``.

    Args:
        source (str | PathLike | nn.Module): See :func:`frozen_features`.
        image: A photograph as :func:`to_pixels` takes it, of H × W pixels.
        number (int): Objects to look for. Defaults to 1.
        threshold (float, optional): Of the cosine of patches that belong together. Defaults to
            None, Otsu's.
        refine (str, optional): ``'guided'`` or ``'bilateral'``, see :func:`refine_maps`. Defaults
            to None.
        device (str | torch.device): Where the model runs.

    Returns:
        list[FoundObject]: At most ``number``, in the order in which they were found.

    Raises:
        UnreadableImageError: If the image cannot be read.
        ValueError: If a value is out of range.
    """
    check_threshold(threshold)
    model = frozen_features(source, device)
    pixels = to_pixels(image)
    tokens = model.grid(model.prepare([pixels]), model.layer, model.stride)[0]
    frame = ImageFrame(*pixels.shape[1:], model.canvas(), model.fit)
    return object_masks(tokens, pixels, frame, number, threshold, refine)
