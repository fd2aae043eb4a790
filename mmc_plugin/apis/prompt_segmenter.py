"""One click, one object."""

from __future__ import annotations

import hashlib
import logging
import math
import os
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from mmengine.logging import print_log
from PIL import Image
from torch import Tensor, nn

from ..errors import InputError
from ..evaluation.functional.prompt_masks import (
    centred_tokens,
    otsu_threshold,
    prompt_similarity,
)
from ..evaluation.functional.refinement import check_refine, refine_maps
from ..structures.image_frame import ImageFrame
from .features import Photograph, extract_features, frozen_features, to_pixels

# Of the centred cosine: the best of .1, .2, … .7 in the mean over three networks, on the
# images with even ids among 120 of COCO val2017, squares of 224 pixels; at 480 pixels it is as good
# as the best on the odd ones, see docs/zero_shot.md and tools/benchmarks/click_thresholds.py.
AUTO_THRESHOLD = 0.5


@dataclass
class Segment:
    """What a click selects.

    Attributes:
        similarity: float32 (H, W) in [-1, 1]: the largest cosine to a positive point; for the
            threshold ``'auto'`` of the tokens less their mean over the image. What refines it may
            leave this range by a little.
        mask: bool (H, W).
        threshold: The similarity above which a pixel is selected.
    """

    similarity: np.ndarray
    mask: np.ndarray
    threshold: float


@dataclass
class _Encoded:
    frame: ImageFrame
    tokens: Tensor  # (h, w, D)


class PromptSegmenter:
    """Segments what is similar to a clicked patch (arXiv 2308.11448, zero-shot segmentation).

    An image is encoded when it is first seen; further clicks on it use its kept tokens.

    Args:
        checkpoint_or_model (str | PathLike | nn.Module): See :func:`frozen_features`.
        device (str | torch.device): Where it runs. Defaults to 'cpu'.
        cache (int): Images whose tokens are kept, the last used ones; 0 keeps none. Defaults to 16.
        cache_bytes (int, optional): What their tokens take at most; by default as much as they do.
        refine (str, optional): Default of :meth:`segment`. Defaults to None.
        **settings: Of :class:`FrozenFeatures`, such as ``size``, ``fit`` and ``stride``; not for a
            model that is one already.
    """

    def __init__(
        self,
        checkpoint_or_model: str | os.PathLike | nn.Module,
        device: str | torch.device = 'cpu',
        cache: int = 16,
        cache_bytes: int | None = None,
        refine: str | None = None,
        **settings: Any,
    ) -> None:
        if cache < 0:
            raise InputError(f'cache must be a number of images from 0, got {cache}.')
        self.model = frozen_features(checkpoint_or_model, device, **settings)
        self.cache, self.cache_bytes = cache, cache_bytes
        self.refine = check_refine(refine)
        self._kept: OrderedDict[tuple, _Encoded] = OrderedDict()

    def segment(
        self,
        image: Photograph | Sequence[Photograph],
        points: Sequence,
        labels: Sequence | None = None,
        threshold: float | str = 'auto',
        size: int | None = None,
        layer: int | None = None,
        stride: int | None = None,
        refine: str | None = None,
    ) -> Segment | list[Segment]:
        """Segment what was clicked on.

        A pixel is selected if its cosine to one of the positive points is above the threshold and
        above those to all negative points. Maps are upsampled to the image bilinearly. A mask of
        the whole image, which a number far below the cosines of a network gives, is logged.

        The cosines of a network may all be close to 1. By default the mean token of the image is
        taken away before, which spreads them over both signs for any network.

        Args:
            image: A photograph as :func:`to_pixels` takes it, or a list of B.
            points: (x, y) in pixels of the image from its top left corner, or P of them; for a
                list of images a list of such.
            labels: P numbers, 1 for points on the object and 0 for points beside it; for a list of
                images a list of such. Defaults to None, all 1.
            threshold (float | str): ``'auto'``, the cosine .5 of tokens less their mean over the
                image; a cosine of the tokens as they are, such as the paper's .3; or ``'otsu'``
                to find one of these for the image. Defaults to ``'auto'``.
            size (int, optional): Side of the square that the image is resized to, rounded to the
                nearest multiple of the patch size. Defaults to that of the model, 480.
            layer (int, optional): Of the tokens, from 0, or from the end by negative numbers.
                Defaults to that of the model, the last.
            stride (int, optional): Distance of tokens in pixels of the square, a divisor of the
                patch size; finer maps for (patch / stride)² times the work. Defaults to that of
                the model.
            refine (str, optional): ``'guided'`` or ``'bilateral'``: the upsampled map is made to
                follow the edges of the image, see :func:`refine_maps`. Defaults to that of the
                segmenter.

        Returns:
            Segment | list[Segment]: At the size of each image.

        Raises:
            ValueError: If a point lies outside its image, there is no positive point, or the
                threshold is no number.
            UnreadableImageError: If an image cannot be read.
        """
        threshold = _check_threshold(threshold)
        several = isinstance(image, list | tuple)
        images = list(image) if several else [image]
        points = list(points) if several else [points]
        labels = [None] * len(images) if labels is None else list(labels) if several else [labels]
        if not len(images) == len(points) == len(labels):
            raise InputError(
                f'{len(images)} images need as many lists of points and labels, got '
                f'{len(points)} and {len(labels)}.'
            )
        clicks = [_clicks(*each) for each in zip(points, labels, strict=True)]
        refine = self.refine if refine is None else check_refine(refine)
        encoded = self._encode(images, size, layer, stride)
        found = [
            # Pixels are decoded again: those of sixteen kept photographs would fill the memory.
            self._select(each, *click, threshold, refine, to_pixels(image) if refine else None)
            for image, each, click in zip(images, encoded, clicks, strict=True)
        ]
        return found if several else found[0]

    def tokens(
        self,
        image: Photograph,
        size: int | None = None,
        layer: int | None = None,
        stride: int | None = None,
    ) -> Tensor:
        """Tokens of a photograph, those that clicks on it are compared by; kept as theirs are.

        Args:
            image: A photograph as :func:`to_pixels` takes it.
            size (int, optional): As in :meth:`segment`, and so are the others.
            layer (int, optional): Likewise.
            stride (int, optional): Likewise.

        Returns:
            Tensor: (h, w, D) over the square. Do not write into it.

        Raises:
            UnreadableImageError: If the image cannot be read.
        """
        return self._encode([image], size, layer, stride)[0].tokens

    def extract_features(
        self,
        images: Photograph | Sequence[Photograph],
        layers: Sequence[int] = (-1,),
        size: int | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Class and patch tokens, see :func:`mmc_plugin.apis.features.extract_features`.

        Returns:
            tuple[Tensor, Tensor]: (L, B, D), and (L, B, h, w, D).
        """
        size = self.model.size if size is None else size
        return extract_features(self.model, images, layers, size, self.model.mean.device)

    def _encode(
        self, images: list[Photograph], size: int | None, layer: int | None, stride: int | None
    ) -> list[_Encoded]:
        """Tokens of images; those that are not kept are encoded in one batch."""
        size = self.model.canvas(size)
        layer = self.model.layer if layer is None else layer
        stride = self.model.stride if stride is None else stride
        keys = [(_fingerprint(image), size, layer, stride) for image in images]
        found = {key: self._kept[key] for key in keys if key in self._kept}
        new = {key: image for key, image in zip(keys, images, strict=True) if key not in found}
        if new:
            pixels = [to_pixels(image) for image in new.values()]
            grids = self.model.grid(self.model.prepare(pixels, size), layer, stride)
            if not grids.isfinite().all():
                raise InputError(
                    'The features of the image are not finite: does the checkpoint have NaN or '
                    'infinity as weights? Name another one.'
                )
            for key, each, tokens in zip(new, pixels, grids, strict=True):
                frame = ImageFrame(*each.shape[1:], size, self.model.fit)
                found[key] = _Encoded(frame, tokens.clone())
        for key in keys:
            self._kept[key] = found[key]
            self._kept.move_to_end(key)
        while self._kept and self._is_full():
            self._kept.popitem(last=False)
        return [found[key] for key in keys]

    def _is_full(self) -> bool:
        size = sum(each.tokens.nbytes for each in self._kept.values())
        return len(self._kept) > self.cache or size > (self.cache_bytes or size)

    @staticmethod
    @torch.no_grad()
    def _select(
        encoded: _Encoded,
        points: Tensor,
        positive: Tensor,
        threshold: float | str,
        refine: str | None,
        pixels: Tensor | None,
    ) -> Segment:
        frame, tokens = encoded.frame, encoded.tokens
        cells = frame.cell(points, *tokens.shape[:2]).to(tokens.device)
        if threshold == 'auto':
            tokens = centred_tokens(tokens, *frame.content_cells(*tokens.shape[:2]))
            threshold = AUTO_THRESHOLD
        maps = frame.upsample(prompt_similarity(tokens, cells))  # (P, H, W)
        if refine is not None:
            held = frame.content_cells(*tokens.shape[:2])
            maps = refine_maps(maps, pixels, refine, held)
        positive = positive.to(maps.device)
        similarity = maps[positive].amax(0)
        if threshold == 'otsu':
            threshold = float(otsu_threshold(similarity[None]))
        mask = similarity > threshold
        if mask.all():
            print_log(
                f'The click selects the whole image: the cosines go from {similarity.min():.2f} to '
                f'{similarity.max():.2f}, all above the threshold {threshold:g}. The threshold '
                "'auto' takes the mean token of the image away before.",
                logger='current',
                level=logging.WARNING,
            )
        if not positive.all():
            mask &= similarity > maps[~positive].amax(0)
        return Segment(similarity.cpu().numpy(), mask.cpu().numpy(), threshold)


def _check_threshold(threshold: float | str) -> float | str:
    if isinstance(threshold, str) and threshold in ('auto', 'otsu'):
        return threshold
    if not isinstance(threshold, int | float | np.number) or not math.isfinite(threshold):
        raise InputError(f"threshold must be 'auto', 'otsu' or a finite number, got {threshold!r}.")
    return float(threshold)


def _clicks(points: Any, labels: Any) -> tuple[Tensor, Tensor]:
    """Points (P, 2) and whether each is positive (P, )."""
    points = torch.as_tensor(np.asarray(points, np.float64))
    points = points[None] if points.dim() == 1 and len(points) == 2 else points
    if not points.numel():
        raise InputError('There is no point: at least one on the object is needed.')
    if points.dim() != 2 or points.shape[1] != 2:
        raise InputError(f'Points must be (x, y) or have shape (P, 2), got {tuple(points.shape)}.')
    labels = np.ones(len(points), int) if labels is None else np.atleast_1d(np.asarray(labels))
    if labels.shape != (len(points),) or not np.isin(labels, (0, 1)).all():
        raise InputError(
            f'Labels must be {len(points)} numbers, 1 or 0, one for each point, got '
            f'{labels.tolist()}.'
        )
    positive = torch.from_numpy(labels == 1)
    if not positive.any():
        raise InputError('There is no point with label 1: at least one on the object is needed.')
    return points, positive


def _fingerprint(image: Photograph) -> tuple:
    """What tells images apart: for a file its place, time and size, else the content."""
    if isinstance(image, str | os.PathLike):
        path = os.path.abspath(image)
        try:
            status = os.stat(path)
        except OSError:  # reading it will say why
            return 'file', path
        return 'file', path, status.st_mtime_ns, status.st_size
    if isinstance(image, Image.Image):  # the same numbers mean other colours in another mode
        image = to_pixels(image).numpy()
    data = image if isinstance(image, bytes) else np.ascontiguousarray(image)
    about = () if isinstance(data, bytes) else (data.shape, str(data.dtype))
    return type(image).__name__, hashlib.blake2b(data, digest_size=16).hexdigest(), *about
