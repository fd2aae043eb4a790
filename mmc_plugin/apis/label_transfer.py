"""Labels of some photographs, brought to others by their patches (arXiv 2306.01667)."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

import numpy as np
import torch
from torch import Tensor, nn

from ..errors import InputError
from ..evaluation.functional.label_retrieval import patch_distribution, retrieve_labels
from ..models.features import FrozenFeatures
from ..structures.image_frame import ImageFrame
from .features import Photograph, frozen_features, to_pixels


def transfer_labels(
    source: str | os.PathLike | nn.Module,
    labelled: Iterable[tuple[Photograph, np.ndarray]],
    images: Iterable[Photograph],
    classes: int,
    k: int = 30,
    temperature: float = 0.02,
    device: str | torch.device = 'cpu',
) -> Iterator[np.ndarray]:
    """Segment photographs by the labels of the nearest patches of labelled ones, untrained.

    One photograph is looked at at a time; the patches of all labelled ones are held.

    Args:
        source (str | PathLike | nn.Module): See :func:`frozen_features`.
        labelled (Iterable): Photographs as :func:`to_pixels` takes them, each with int (H, W), the
            class of each pixel from 0; any other number is no label.
        images (Iterable): Photographs to segment.
        classes (int): C.
        k (int): Nearest patches that are asked, at most as many as have a label. Defaults to 30.
        temperature (float): Of the softmax over their cosines. Defaults to 0.02.
        device (str | torch.device): Where the model runs.

    Yields:
        np.ndarray: int64 (H, W), for each of ``images`` the class of each pixel.

    Raises:
        ValueError: If a label map has another size than its photograph, or no pixel has a label.
        UnreadableImageError: If a photograph cannot be read.
    """
    model = frozen_features(source, device)
    bank, shares = [], []
    for photograph, labels in labelled:
        tokens, frame, (rows, columns) = _tokens(model, photograph)
        labels = np.asarray(labels)
        if labels.shape != (frame.height, frame.width) or labels.dtype.kind not in 'iu':
            raise InputError(
                f'Labels must be whole numbers of shape ({frame.height}, {frame.width}), as large '
                f'as their photograph, got {labels.dtype} of shape {labels.shape}.'
            )
        each = patch_distribution(torch.from_numpy(labels.astype(np.int64)), rows, columns, classes)
        has = each.any(-1)
        bank.append(tokens[:rows, :columns][has.to(tokens.device)])
        shares.append(each[has])
    if not sum(map(len, bank)):
        raise InputError(
            f'No pixel of the labelled photographs has a label: classes go from 0 to {classes - 1}.'
        )
    known, its_shares = torch.cat(bank), torch.cat(shares)
    for image in images:
        tokens, frame, _ = _tokens(model, image)
        found = retrieve_labels(
            known, its_shares, tokens.flatten(0, 1), min(k, len(known)), temperature
        )
        maps = found.T.reshape(-1, *tokens.shape[:2])
        yield frame.upsample(maps).argmax(0).cpu().numpy()


def _tokens(model: FrozenFeatures, image: Photograph) -> tuple[Tensor, ImageFrame, tuple[int, int]]:
    """Tokens (h, w, D) over the canvas, how the image lies there, and the cells that hold it."""
    pixels = to_pixels(image)
    tokens = model.grid(model.prepare([pixels]), model.layer, model.stride)[0].float()
    frame = ImageFrame(*pixels.shape[1:], model.canvas(), model.fit)
    return tokens, frame, frame.content_cells(*tokens.shape[:2])
