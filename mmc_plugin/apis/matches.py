"""One object in several images: click in one, find it in the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..evaluation.functional.mutual_matches import mutual_matches
from ..structures.image_frame import ImageFrame
from .features import Photograph
from .prompt_segmenter import PromptSegmenter


@dataclass
class Match:
    """Where a clicked patch is found in another image.

    Attributes:
        point: (x, y) of the best patch's centre, in pixels of that image.
        cosine: Of the best patch to the clicked one.
        mutual: Whether the clicked patch is in turn the most similar one of its image.
        similarity: float32 (H, W), cosines to the clicked patch at the size of that image.
    """

    point: tuple[float, float]
    cosine: float
    mutual: bool
    similarity: np.ndarray


def find_in_images(
    segmenter: PromptSegmenter,
    image: Photograph,
    point: tuple[float, float],
    others: Sequence[Photograph],
) -> list[Match]:
    """Find what was clicked on in other images, by the cosine of tokens as they are.

    One image is looked at at a time; the segmenter keeps the tokens of the last ones (``cache``).

    Args:
        segmenter (PromptSegmenter): Whose network, size and layer are used.
        image: The photograph that was clicked on, as :func:`to_pixels` takes it.
        point (tuple[float, float]): (x, y) in its pixels.
        others (Sequence): N photographs, likewise.

    Returns:
        list[Match]: One for each of ``others``, in their order.

    Raises:
        ValueError: If the point lies outside of the image.
        UnreadableImageError: If an image cannot be read.
    """
    here, frame, _ = _unit_tokens(segmenter, image)
    clicked = frame.cell(torch.tensor([point], dtype=torch.float64), *here.shape[:2])[0]
    query = here.flatten(0, 1)[clicked]
    found = []
    for other in others:
        there, its_frame, held = _unit_tokens(segmenter, other)
        cosine = there @ query  # (h, w)
        inside = cosine[: held[0], : held[1]]
        row, column = divmod(int(inside.argmax()), held[1])
        back = int((here @ there[row, column]).argmax())
        found.append(
            Match(
                _centre(its_frame, row, column, there.shape[:2]),
                float(cosine[row, column]),
                back == int(clicked),
                its_frame.upsample(cosine[None])[0].cpu().numpy(),
            )
        )
    return found


def match_images(
    segmenter: PromptSegmenter, one: Photograph, other: Photograph
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Patches of two images that are each other's most similar ones.

    Args:
        segmenter (PromptSegmenter): Whose network, size and layer are used.
        one: A photograph, as :func:`to_pixels` takes it.
        other: Likewise.

    Returns:
        tuple[np.ndarray, np.ndarray, np.ndarray]: For K pairs, by falling cosine: float64 (K, 2)
        centres (x, y) in pixels of ``one``, the same of ``other``, and float32 (K, ) cosines.

    Raises:
        UnreadableImageError: If an image cannot be read.
    """
    sides = [_unit_tokens(segmenter, each) for each in (one, other)]
    rows, columns, cosines = mutual_matches(
        *(tokens[: held[0], : held[1]].flatten(0, 1) for tokens, _, held in sides)
    )
    points = [
        np.array([_centre(frame, *divmod(i, held[1]), tokens.shape[:2]) for i in cells.tolist()])
        for (tokens, frame, held), cells in zip(sides, (rows, columns), strict=True)
    ]
    return points[0].reshape(-1, 2), points[1].reshape(-1, 2), cosines.cpu().numpy()


def _unit_tokens(
    segmenter: PromptSegmenter, image: Photograph
) -> tuple[Tensor, ImageFrame, tuple[int, int]]:
    """Tokens (h, w, D) of length 1, 0 in the padding; and how many rows and columns hold it."""
    encoded = segmenter._encode([image], None, None, None)[0]
    held = encoded.frame.content_cells(*encoded.tokens.shape[:2])
    tokens = F.normalize(encoded.tokens.float(), dim=-1)
    tokens[held[0] :], tokens[:, held[1] :] = 0, 0
    return tokens, encoded.frame, held


def _centre(frame: ImageFrame, row: int, column: int, grid: tuple[int, int]) -> tuple[float, float]:
    """(x, y) of a cell's centre in pixels of the image."""
    below, right = frame.content
    x = (column + 0.5) * frame.canvas / grid[1] * frame.width / right
    y = (row + 0.5) * frame.canvas / grid[0] * frame.height / below
    return min(x, frame.width - 0.5), min(y, frame.height - 0.5)
