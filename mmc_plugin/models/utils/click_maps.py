"""What a model in training takes for similar to a clicked patch."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ...evaluation.functional.similarity import patch_similarity


def click_maps(
    model: nn.Module,
    images: Tensor,
    points: Sequence[tuple[float, float]],
    network: str = 'teacher',
) -> Tensor:
    """Cosine of all patches' features to that of a clicked one (arXiv 2308.11448, figure 1).

    Args:
        model (nn.Module): With ``patch_size`` and ``extract_feat``, such as :class:`MMC`.
        images (Tensor): Normalised, of shape (B, 3, S, S), S a multiple of the patch size.
        points (Sequence[tuple[float, float]]): For each image the click (x, y) in [0, 1).
        network (str): ``'teacher'`` or ``'student'``. Defaults to ``'teacher'``.

    Returns:
        Tensor: float32 of shape (B, h, w), one value for each patch.
    """
    side = images.shape[-1] // model.patch_size
    index = torch.tensor([int(y * side) * side + int(x * side) for x, y in points])
    _, patches = model.extract_feat(images, network)
    similarity = patch_similarity(patches.float(), index.to(patches.device))
    return similarity.view(-1, side, side)
