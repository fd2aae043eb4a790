"""Objects that nobody clicked on: a spectral cut of the patches of an image."""

from __future__ import annotations

from numbers import Real

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from scipy.sparse.linalg import eigsh
from torch import Tensor

from ...errors import InputError
from .prompt_masks import otsu_threshold

_APART = 1e-5  # affinity of patches that are not similar [TokenCut]


def check_threshold(threshold: float | None) -> float | None:
    """Refuse a threshold that is no cosine; None is Otsu's.

    Raises:
        ValueError: If it is not a number between -1 and 1.
    """
    number = isinstance(threshold, Real) and not isinstance(threshold, bool)
    if threshold is not None and not (number and -1 < threshold < 1):  # NaN is refused, too
        raise InputError(
            f'threshold must be a cosine between -1 and 1, or None for Otsu, got {threshold!r}.'
        )
    return threshold


def fiedler_vector(affinity: np.ndarray) -> np.ndarray:
    """The vector of the second smallest eigenvalue of (D − A) x = λ D x (Shi & Malik 2000).

    Args:
        affinity (np.ndarray): A, float (N, N), symmetric and positive, N ≥ 3.

    Returns:
        np.ndarray: float64 (N, ), of length 1, its largest entry by magnitude positive.
    """
    scale = 1 / np.sqrt(affinity.sum(1, dtype=np.float64))
    normal = scale[:, None] * affinity * scale
    # A start of its own, so that the same image is cut the same way each time.
    start = np.random.default_rng(0).normal(size=len(normal))
    values, vectors = eigsh(normal, 2, which='LA', v0=start)
    vector = scale * vectors[:, values.argmin()]
    vector /= np.linalg.norm(vector)
    return vector if vector.max() >= -vector.min() else -vector


def spectral_objects(tokens: Tensor, number: int = 1, threshold: float | None = None) -> Tensor:
    """Cut objects out of an image, one after the other (TokenCut, arXiv 2202.11539).

    Patches are joined where the cosine of their tokens is above a threshold. The eigenvector parts
    them at its mean; the side of its largest entry is the foreground, unless it holds more corners
    of the image than the other, as a background does (three in MaskCut's release, arXiv
    2301.11320). What is connected there with the patch of the largest entry is the object. Its
    patches are taken away before the next one is looked for.

    TokenCut takes keys of the last layer and a threshold of .2. The cosines of some networks all
    lie above that, so that the threshold is by default the one that parts those of the image in
    two (Otsu 1979).

    Args:
        tokens (Tensor): (h, w, D), of the image alone, without padding.
        number (int): Objects to look for. Defaults to 1.
        threshold (float, optional): Of the cosine. Defaults to None, Otsu's.

    Returns:
        Tensor: bool (K, h, w) on the CPU, K ≤ ``number``: fewer where the patches that are left
        are all similar to each other or all apart.

    Raises:
        ValueError: If ``number`` is not positive, the threshold no cosine, or a token not finite.
    """
    if number < 1:
        raise InputError(f'The number of objects must be positive, got {number}.')
    check_threshold(threshold)
    if not tokens.isfinite().all():
        raise InputError('Tokens with NaN or infinity cannot be cut: the checkpoint is damaged.')
    height, width = tokens.shape[:2]
    unit = F.normalize(tokens.float().flatten(0, 1), dim=-1)
    cosines = unit @ unit.T
    if threshold is None:
        threshold = _otsu(cosines)
    joined = (cosines > threshold).cpu().numpy()
    left = np.arange(height * width)
    found = []
    while len(found) < number and len(left) >= 3:
        part = joined[np.ix_(left, left)]
        part = part | part.T  # rounding may tell the two sides of a pair apart
        if part.all() or part.sum() <= len(left):
            break
        vector = fiedler_vector(np.where(part, 1, _APART))
        heights = np.zeros(height * width)  # patches that were taken are on no side
        heights[left] = vector - vector.mean()
        corners = heights.reshape(height, width)[np.ix_([0, -1], [0, -1])]
        if (corners > 0).sum() > (corners < 0).sum():
            heights *= -1
        side = (heights > 0).astype(np.uint8).reshape(height, width)
        _, components = cv2.connectedComponents(side, connectivity=4)
        mask = components == components.flat[heights.argmax()]
        found.append(mask)
        left = left[~mask.flat[left]]
    masks = np.stack(found) if found else np.zeros((0, height, width), bool)
    return torch.from_numpy(masks)


def _otsu(cosines: Tensor) -> float:
    """Otsu's threshold of the cosines (N, N) of different patches; -1 where all are the same."""
    pairs = cosines[torch.ones_like(cosines, dtype=torch.bool).triu_(1)]
    if not len(pairs) or pairs.max() - pairs.min() < 1e-6:  # rounding parts nothing
        return -1.0
    return float(otsu_threshold(pairs[None]))
