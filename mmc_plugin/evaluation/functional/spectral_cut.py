"""Objects that nobody clicked on: a spectral cut of the patches of an image."""

from __future__ import annotations

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from scipy.sparse.linalg import eigsh
from torch import Tensor

from ...errors import InputError
from .prompt_masks import centred_tokens

_APART = 1e-5  # affinity of patches that are not similar [TokenCut]


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


def spectral_objects(tokens: Tensor, number: int = 1, threshold: float = 0.2) -> Tensor:
    """Cut objects out of an image, one after the other (TokenCut, arXiv 2202.11539).

    Patches are joined where the cosine of their tokens, less the mean over the image, is above a
    threshold. The eigenvector parts them at its mean; the side of its largest entry is the
    foreground, and what is connected there with that patch is the object. Its patches are taken
    away before the next one is looked for.

    TokenCut takes keys of the last layer as they are; their mean is taken away here since the
    cosines of some networks all lie above any threshold.

    Args:
        tokens (Tensor): (h, w, D), of the image alone, without padding.
        number (int): Objects to look for. Defaults to 1.
        threshold (float): Of the cosine. Defaults to 0.2 [TokenCut].

    Returns:
        Tensor: bool (K, h, w) on the CPU, K ≤ ``number``: fewer where the patches that are left
        are all similar to each other or all apart.

    Raises:
        ValueError: If ``number`` is not positive, or the threshold no cosine.
    """
    if number < 1:
        raise InputError(f'The number of objects must be positive, got {number}.')
    if not -1 < threshold < 1:  # so that NaN is refused, too
        raise InputError(f'threshold must be a cosine between -1 and 1, got {threshold}.')
    height, width = tokens.shape[:2]
    unit = F.normalize(centred_tokens(tokens, height, width), dim=-1).flatten(0, 1)
    joined = (unit @ unit.T).cpu().numpy() > threshold
    left = np.arange(height * width)
    found = []
    while len(found) < number and len(left) >= 3:
        part = joined[np.ix_(left, left)]
        part = part | part.T  # rounding may tell the two sides of a pair apart
        if part.all() or part.sum() <= len(left):
            break
        vector = fiedler_vector(np.where(part, 1, _APART))
        side = np.zeros(height * width, np.uint8)
        side[left[vector > vector.mean()]] = 1
        _, components = cv2.connectedComponents(side.reshape(height, width), connectivity=4)
        mask = components == components.flat[left[vector.argmax()]]
        found.append(mask)
        left = left[~mask.flat[left]]
    masks = np.stack(found) if found else np.zeros((0, height, width), bool)
    return torch.from_numpy(masks)
