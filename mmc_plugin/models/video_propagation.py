"""Masks of objects followed through a video by the features of its patches."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from mmengine.model import BaseModel
from mmpretrain.registry import MODELS
from torch import Tensor

from ..datasets.transforms.loading import UnreadableImageError
from ..errors import InputError, RunError
from ..evaluation.functional.label_propagation import (
    grid_labels,
    labels_to_mask,
    propagate_labels,
)
from ..structures.image_frame import canvas_size
from ..structures.palette import encode_palette
from .features import FrozenFeatures


@MODELS.register_module()
class VideoPropagation(BaseModel):
    """Carries the mask of a video's first frame to all others [DINO release, DAVIS-2017].

    The labels of a frame's patches are those of similar patches nearby, in the first frame and in
    the last few, see :func:`propagate_labels`. What comes out, soft, is a source of later frames.
    Only the sources are kept, however long the video is.

    Args:
        features (dict | FrozenFeatures): Of the backbone; its layer, normalisation and ``debias``
            count, its own size and stride do not.
        size (int): Short side that frames are resized to, in pixels. Defaults to 480.
        multiple (int): The long side is rounded down to a multiple of it; both sides are then
            rounded to the nearest multiple of the patch size. Defaults to 64.
        last (int): How many of the last frames are sources beside the first. Defaults to 7.
        radius (int): Of the neighbourhood, in tokens. Defaults to 12.
        topk (int): Neighbours of a token. Defaults to 5.
        temperature (float): Of their weights. Defaults to 0.1.
        batch (int): Frames that the backbone sees at once. Defaults to 4.

    Raises:
        ValueError: If one of these is out of its range.
    """

    def __init__(
        self,
        features: dict | FrozenFeatures,
        size: int = 480,
        multiple: int = 64,
        last: int = 7,
        radius: int = 12,
        topk: int = 5,
        temperature: float = 0.1,
        batch: int = 4,
        data_preprocessor: dict | None = None,
    ) -> None:
        super().__init__(data_preprocessor=data_preprocessor)
        least = dict(size=1, multiple=1, last=0, radius=0, topk=1, batch=1)
        given = dict(size=size, multiple=multiple, last=last, radius=radius, topk=topk, batch=batch)
        for key, value in given.items():
            if value < least[key]:
                raise InputError(
                    f'VideoPropagation: {key} must be at least {least[key]}, got {value}.'
                )
        if temperature <= 0:
            raise InputError(f'VideoPropagation: temperature must be above 0, got {temperature}.')
        self.features = MODELS.build(features) if isinstance(features, dict) else features
        self.size, self.multiple, self.batch, self.last = size, multiple, batch, last
        self.neighbours = dict(radius=radius, topk=topk, temperature=temperature)

    def canvas(self, height: int, width: int) -> tuple[int, int]:
        """Height and width in pixels that frames of another size are resized to."""
        long = self.size * max(height, width) // min(height, width)
        long = max(long // self.multiple * self.multiple, 1)
        sides = (long, self.size) if height > width else (self.size, long)
        return tuple(canvas_size(side, self.features.patch_size) for side in sides)

    @torch.no_grad()
    def track(self, frames: Iterable[np.ndarray], first_mask: np.ndarray) -> Iterator[np.ndarray]:
        """Follow the objects of a mask.

        Args:
            frames (Iterable[np.ndarray]): T frames, uint8 RGB (H, W, 3), read as they are needed.
            first_mask (np.ndarray): uint8 (H, W): 0 is the background, every other value that
                occurs an object.

        Yields:
            np.ndarray: uint8 (H, W), the mask of each of the T frames, the first as given.

        Raises:
            ValueError: If the mask has no object or is not one of the frames, or frames differ in
                size.
            RuntimeError: If features are not finite.
        """
        first_mask = np.asarray(first_mask)
        if first_mask.ndim != 2 or first_mask.dtype != np.uint8:
            raise InputError(
                'The first mask must be uint8 of shape (H, W), got '
                f'{first_mask.dtype} of shape {first_mask.shape}.'
            )
        if not first_mask.any():
            raise InputError('The first mask has no object: there is nothing to follow.')
        classes = np.union1d(first_mask, [0]).astype(np.uint8)  # the background is the first
        size, canvas, sources = first_mask.shape, self.canvas(*first_mask.shape), None
        for grid in self._grids(iter(frames), size, canvas):
            if sources is None:
                labels = grid_labels(first_mask, classes, *grid.shape[:2]).to(grid.device)
                sources = _Sources(grid, labels, self.last)
                yield first_mask
                continue
            with torch.autocast(grid.device.type, enabled=False):
                labels = propagate_labels(grid, *sources.known(), **self.neighbours)
                mask = labels_to_mask(labels, classes, canvas, size)
            sources.add(grid, labels)
            yield mask

    def _grids(
        self, frames: Iterator[np.ndarray], size: tuple[int, int], canvas: tuple[int, int]
    ) -> Iterator[Tensor]:
        """Tokens of length 1 of each frame, float32 (h, w, D), encoded in batches."""
        number = 0
        while some := list(islice(frames, self.batch)):
            for place, frame in enumerate(some, number):
                if frame.shape != (*size, 3) or frame.dtype != np.uint8:
                    raise InputError(
                        f'Frame {place} must be uint8 of shape {(*size, 3)}, as the first mask '
                        f'is, got {frame.dtype} of shape {frame.shape}.'
                    )
            pixels = [cv2.resize(np.ascontiguousarray(each), canvas[::-1]) for each in some]
            images = torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2)
            images = self.features.normalise(images)
            tokens = self.features.grid(images, self.features.layer)
            if not tokens.isfinite().all():
                raise RunError(
                    f'The features of frames {number} to {number + len(some) - 1} are not finite: '
                    'does the checkpoint have NaN or infinity as weights? Name another one.'
                )
            yield from F.normalize(tokens.float(), dim=-1)
            number += len(some)

    def forward(self, inputs: list, data_samples: list | None = None, mode: str = 'tensor'):
        """Masks of whole videos.

        Args:
            inputs (list[VideoClip | None]): B videos, each with its ``first_mask``.
            data_samples (list): B samples with ``skipped``; where it is set there is no video.
            mode (str): ``'predict'``.

        Returns:
            list: The data samples, each with ``masks``: the T masks as palette PNG files in memory,
            a few KB each. Of a video with a frame that cannot be read ``skipped`` says so.

        Raises:
            ValueError: In any other mode, since there is nothing to train.
        """
        if mode != 'predict':
            raise InputError(
                f"VideoPropagation has the mode 'predict', not {mode!r}: it is not trained."
            )
        for clip, sample in zip(inputs, data_samples, strict=True):
            if sample.skipped is not None:
                continue
            try:
                sample.masks = [encode_palette(mask) for mask in self.track(clip, clip.first_mask)]
            except UnreadableImageError as error:
                sample.set_metainfo(dict(skipped=(error.path, error.reason)))
        return data_samples


class _Sources:
    """The first frame and a ring of the last ones: tokens, and soft labels of these."""

    def __init__(self, grid: Tensor, labels: Tensor, last: int) -> None:
        self._tokens = grid.new_empty(1 + last, *grid.shape)
        self._labels = labels.new_empty(1 + last, *labels.shape)
        self._tokens[0], self._labels[0] = grid, labels
        self._added, self._last = 0, last

    def known(self) -> tuple[Tensor, Tensor]:
        """(S, h, w, D) and (S, C, h, w); their order says nothing."""
        number = 1 + min(self._added, self._last)
        return self._tokens[:number], self._labels[:number]

    def add(self, grid: Tensor, labels: Tensor) -> None:
        """Let a frame take the place of the oldest."""
        if self._last:
            place = 1 + self._added % self._last
            self._tokens[place], self._labels[place] = grid, labels
            self._added += 1
