"""An object of the first frame, followed through a video."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import Any

import cv2
import numpy as np
import torch
from torch import nn

from ..errors import InputError
from ..models.video_propagation import VideoPropagation
from .features import Photograph, frozen_features, to_pixels


def read_video(path: str | os.PathLike, max_pixels: int | None = None) -> Iterator[np.ndarray]:
    """Frames of a video file, one after another.

    Args:
        path (str | PathLike): Of any format that OpenCV reads.
        max_pixels (int, optional): Of a frame, for files of strangers.

    Yields:
        np.ndarray: uint8 RGB (H, W, 3).

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no video that OpenCV reads, or its frames have more pixels.
    """
    if not os.path.isfile(path):
        raise FileNotFoundError(f'The video {os.fspath(path)!r} does not exist.')
    video = cv2.VideoCapture(os.fspath(path))
    try:
        # Told by the header, before a decoder takes the memory.
        pixels = video.get(cv2.CAP_PROP_FRAME_WIDTH) * video.get(cv2.CAP_PROP_FRAME_HEIGHT)
        if max_pixels is not None and pixels > max_pixels:
            raise InputError(
                f'The frames of {os.fspath(path)!r} have {pixels:,.0f} pixels, more than '
                f'{max_pixels:,}: make them smaller.'
            )
        found, frame = video.read()
        if not found:
            raise InputError(
                f'OpenCV cannot read {os.fspath(path)!r} as a video: convert it to MP4.'
            )
        while found:
            yield frame[..., ::-1]
            found, frame = video.read()
    finally:
        video.release()


def track_objects(
    checkpoint_or_model: str | os.PathLike | nn.Module,
    frames: Iterable[Photograph],
    first_mask: np.ndarray,
    device: str | torch.device = 'cpu',
    **settings: Any,
) -> Iterator[np.ndarray]:
    """Follow the objects of a first mask through a video (DAVIS-2017's protocol).

    Frames are read as masks are asked for, so that progress shows and long videos take no more
    memory than short ones::

        mask = segmenter.segment(first, (120, 80)).mask.astype(np.uint8)
        for mask in track_objects('checkpoint.pth', read_video('clip.mp4'), mask):
            ...

    Args:
        checkpoint_or_model (str | PathLike | nn.Module): See :func:`frozen_features`; or a
            :class:`VideoPropagation`.
        frames (Iterable): Photographs of one size, each as :func:`to_pixels` takes it.
        first_mask (np.ndarray): bool or uint8 (H, W): 0 is the background, every other value an
            object.
        device (str | torch.device): Where the model runs. Defaults to 'cpu'.
        **settings: Of :class:`VideoPropagation`, unless that is given.

    Yields:
        np.ndarray: uint8 (H, W), the mask of each frame, the first as given.

    Raises:
        ValueError: If the mask has no object or is not one of the frames, or frames differ in size.
        UnreadableImageError: If a frame cannot be read.
    """
    model = checkpoint_or_model
    if not isinstance(model, VideoPropagation):
        model = VideoPropagation(frozen_features(model, device), **settings)
    first_mask = np.asarray(first_mask)
    if first_mask.dtype == bool:
        first_mask = first_mask.astype(np.uint8)
    pixels = (to_pixels(frame).permute(1, 2, 0).numpy() for frame in frames)
    yield from model.to(device).track(pixels, first_mask)
