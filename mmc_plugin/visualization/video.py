"""Pictures of objects followed through a video."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain

import cv2
import numpy as np

from ..durable import written_whole
from ..errors import InputError, RunError
from ..structures.palette import PALETTE
from .figures import figure_to_array, grid_axes, new_figure, show_image

# What OpenCV's wheels can write. Browsers play WebM and not this kind of MP4, which is 30 times as
# fast to write.
_CODECS = {'.mp4': 'mp4v', '.webm': 'VP80'}
# The palette's colours, made brighter.
_TINTS = np.where(PALETTE > 0, 255 - (255 - PALETTE) // 2, 0).astype(np.uint8)
_WIDTH = 320  # of the frames in a sheet, in pixels


def draw_objects(frame: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Tint the objects of a frame in bright colours of the palette, and outline them.

    Args:
        frame (np.ndarray): uint8 RGB (H, W, 3).
        mask (np.ndarray): uint8 (H, W), 0 for the background.

    Returns:
        np.ndarray: uint8 RGB (H, W, 3).
    """
    mixed = cv2.addWeighted(np.ascontiguousarray(frame), 0.5, _TINTS[mask], 0.5, 0)
    square = np.ones((3, 3), np.uint8)
    outline = cv2.dilate(mask, square) != cv2.erode(mask, square)
    picture = np.where((mask > 0)[..., None], mixed, frame)
    picture[outline] = 255
    return picture


def write_video(path: str, frames: Iterable[np.ndarray], fps: float = 24) -> None:
    """Write a video, whole or not at all.

    Args:
        path (str): Ending in ``.mp4`` or ``.webm``; its folder is made if need be.
        frames (Iterable[np.ndarray]): uint8 RGB (H, W, 3), at least one, all of one size.
        fps (float): Frames a second. Defaults to 24, DAVIS's.

    Raises:
        ValueError: If there is no frame, or the ending is another.
        RuntimeError: If OpenCV cannot write it.
    """
    frames = iter(frames)
    first = next(frames, None)
    if first is None:
        raise InputError(f'There is no frame for the video {path!r}.')
    ending = os.path.splitext(path)[1]
    if ending not in _CODECS:
        raise InputError(f'A video ends in {" or ".join(_CODECS)}, not as {path!r} does.')
    with written_whole(path) as temporary:
        code = cv2.VideoWriter_fourcc(*_CODECS[ending])
        writer = cv2.VideoWriter(temporary, code, fps, first.shape[1::-1])
        if not writer.isOpened():
            raise RunError(f'OpenCV cannot write the video {path!r}.')
        for frame in chain([first], frames):
            writer.write(np.ascontiguousarray(frame[..., ::-1]))
        writer.release()


def contact_sheet(
    rows: Mapping[str, Sequence[tuple[np.ndarray, str]]], title: str = ''
) -> np.ndarray:
    """Some frames of each of several videos.

    Args:
        rows (Mapping[str, Sequence]): For each video as many pictures, uint8 RGB (H, W, 3), each
            with the words below it.
        title (str): Above all.

    Returns:
        np.ndarray: uint8 RGB (H', W', 3).
    """
    columns = max(map(len, rows.values()))
    small = {name: [(_shrink(image), words) for image, words in row] for name, row in rows.items()}
    shapes = [row[0][0].shape for row in small.values()]
    heights = [2.4 * height / width + 0.3 for height, width, _ in shapes]
    figure = new_figure(2.5 * columns + 0.4, sum(heights) + (0.5 if title else 0.1))
    figure.get_layout_engine().set(w_pad=0.03, h_pad=0.03, wspace=0, hspace=0)
    if title:
        figure.suptitle(title, fontsize=12)
    axes = grid_axes(figure, list(small), [''] * columns)
    for line, row in zip(axes, small.values(), strict=True):
        for axis, (image, words) in zip(line, row, strict=False):
            show_image(axis, image)
            axis.set_xlabel(words, fontsize=9, labelpad=2)
    return figure_to_array(figure)


def _shrink(image: np.ndarray) -> np.ndarray:
    height = max(1, round(image.shape[0] * _WIDTH / image.shape[1]))
    return cv2.resize(image, (_WIDTH, height), interpolation=cv2.INTER_AREA)
