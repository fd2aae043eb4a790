"""One object in several images: click in one, find it in the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import InputError
from ..evaluation.functional.mutual_matches import mutual_matches
from ..structures.image_frame import ImageFrame
from .features import Photograph, to_pixels
from .patch_bank import PatchBank
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
    clicked = _clicked(frame, point, here)
    return [_match(here, clicked, *_unit_tokens(segmenter, other)) for other in others]


@torch.no_grad()
def find_in_bank(
    segmenter: PromptSegmenter,
    image: Photograph,
    point: tuple[float, float],
    bank: PatchBank,
    top: int = 7,
) -> list[tuple[Path, Match]]:
    """Find what was clicked on in the images of a bank, of which only the best are decoded.

    All tokens of the bank are compared, block after block, exactly.

    Args:
        segmenter (PromptSegmenter): Whose network is used, at the size and layer of the bank.
        image: The photograph that was clicked on, as :func:`to_pixels` takes it.
        point (tuple[float, float]): (x, y) in its pixels.
        bank (PatchBank): Of the same network.
        top (int): Images to return, fewer if the bank has fewer. Defaults to 7.

    Returns:
        list[tuple[Path, Match]]: Images and what is found in them, by falling cosine.

    Raises:
        ValueError: If the point lies outside of the image, ``top`` is not positive, or the bank is
            another network's.
        UnreadableImageError: If ``image`` or one of the best cannot be read.
    """
    if top < 1:
        raise InputError(f'top must be a positive number of images, got {top}.')
    bank.check(segmenter.model)
    stride = segmenter.model.patch_size
    here, frame, _ = _unit_tokens(segmenter, image, bank.size, bank.layer, stride)
    clicked = _clicked(frame, point, here)
    query = here.flatten(0, 1)[clicked].cpu()
    highest = torch.cat(
        [
            F.normalize(block, dim=-1).flatten(1, 2).matmul(query).amax(1)
            for _, block in bank.blocks()
        ]
    )
    found = []
    for i in highest.topk(min(top, len(highest))).indices.tolist():
        path = bank.images / bank.names[i]
        there = F.normalize(bank.tokens(i, i + 1)[0], dim=-1).to(here)
        its_frame = ImageFrame(*to_pixels(path).shape[1:], bank.size)
        found.append((path, _match(here, clicked, there, its_frame, bank.grid)))
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


def _clicked(frame: ImageFrame, point: tuple[float, float], tokens: Tensor) -> int:
    """Which of the tokens (h, w, D) a point lies on, row by row."""
    return int(frame.cell(torch.tensor([point], dtype=torch.float64), *tokens.shape[:2])[0])


def _match(
    here: Tensor, clicked: int, there: Tensor, frame: ImageFrame, held: tuple[int, int]
) -> Match:
    """Where a token of one image (h, w, D) is in another (h', w', D), of which a part is held."""
    cosine = there @ here.flatten(0, 1)[clicked]  # (h', w')
    inside = cosine[: held[0], : held[1]]
    row, column = divmod(int(inside.argmax()), held[1])
    back = int((here @ there[row, column]).argmax())
    return Match(
        _centre(frame, row, column, there.shape[:2]),
        float(cosine[row, column]),
        back == clicked,
        frame.upsample(cosine[None])[0].cpu().numpy(),
    )


def _unit_tokens(
    segmenter: PromptSegmenter,
    image: Photograph,
    size: int | None = None,
    layer: int | None = None,
    stride: int | None = None,
) -> tuple[Tensor, ImageFrame, tuple[int, int]]:
    """Tokens (h, w, D) of length 1, 0 in the padding; and how many rows and columns hold it."""
    encoded = segmenter._encode([image], size, layer, stride)[0]
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
