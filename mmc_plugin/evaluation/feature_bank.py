"""Features of all images of a data set, extracted once by any number of processes."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from mmengine.dist import all_gather_object, barrier, get_dist_info
from mmengine.runner.amp import autocast
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ..checkpoints.checkpoint import hash_tensors
from ..datasets.image_files import ImageFiles
from ..durable import written_whole
from ..errors import InputError
from ..models.features import FrozenFeatures, weights_digest
from ..version import __version__
from .image_batches import ImageBatches, pixel_hashes

# Images uint8 RGB (B, 3, S, S) → for each of L layers (B, D), and (B, …, D).
Encoder = Callable[[Tensor], tuple[Sequence[Tensor], Sequence[Tensor]]]

KINDS = ('cls', 'pat', 'hybrid')


@dataclass(frozen=True)
class FeatureBank:
    """Features of N images in the order of their data set, without those that cannot be read.

    Attributes:
        cls: Class tokens (L, N, D).
        pat: Means of the patch tokens (L, N, D).
        index: int64 (N, ), place of each image in the data set.
        hashes: int64 (N, ), of the pixels that the network saw: equal for equal images.
        labels: int64 (N, ), if the data set has any.
        unreadable: Paths of what was left out.
    """

    cls: Tensor
    pat: Tensor
    index: Tensor
    hashes: Tensor
    labels: Tensor | None = None
    unreadable: Sequence[str] = field(default=())

    def __len__(self) -> int:
        return len(self.index)

    def cpu(self) -> FeatureBank:
        """The same in the memory of the CPU."""
        labels = None if self.labels is None else self.labels.cpu()
        return FeatureBank(
            self.cls.cpu(),
            self.pat.cpu(),
            self.index.cpu(),
            self.hashes.cpu(),
            labels,
            self.unreadable,
        )

    def parts(self, kind: str = 'cls', layer: int = -1) -> list[Tensor]:
        """Features of one kind (arXiv 2308.11448, table 6), as parts along their width.

        Args:
            kind (str): ``'cls'``, ``'pat'``, or ``'hybrid'``: both, concatenated.
            layer (int): Place among the layers that were extracted. Defaults to the last.

        Returns:
            list[Tensor]: (N, D), for ``'hybrid'`` two of them. No copy is made.

        Raises:
            ValueError: For another kind.
        """
        if kind not in KINDS:
            raise InputError(f'kind must be one of {", ".join(KINDS)}, got {kind!r}.')
        names = ('cls', 'pat') if kind == 'hybrid' else (kind,)
        return [getattr(self, name)[layer] for name in names]

    def features(self, kind: str = 'cls', layer: int = -1) -> Tensor:
        """:meth:`parts` as one tensor (N, D), or (N, 2D) for ``'hybrid'``."""
        return torch.cat(self.parts(kind, layer), dim=1)


@torch.no_grad()
def extract(
    encoders: Mapping[str, Encoder], batches: ImageBatches, labels: Tensor | None = None
) -> dict[str, FeatureBank]:
    """Features by several encoders in one pass over the images; all processes take part.

    Args:
        encoders (Mapping[str, Encoder]): By name.
        batches (ImageBatches): The images.
        labels (Tensor, optional): int64 (N, ), of all images.

    Returns:
        dict[str, FeatureBank]: By name, float32 on the encoder's device, the same on each process.

    Raises:
        ValueError: If no image can be read.
    """
    number = len(batches.files)
    if not number or (labels is not None and len(labels) != number):
        given = '' if labels is None else f', and {len(labels)} labels'
        raise InputError(f'Features need images and one label for each, got {number}{given}.')
    parts: dict[str, Tensor] = {}
    readable, hashes, start = [], [], 0
    for images, ok in batches:
        readable.append(ok.byte())  # gloo gathers no bool
        hashes.append(pixel_hashes(images))
        for name, encode in encoders.items():
            cls, patches = (torch.stack([each.float() for each in layers]) for layers in
                            encode(images))  # fmt: skip
            rows = torch.stack([cls, patches.flatten(2, -2).mean(2)])  # (2, L, B, D)
            if name not in parts:  # made once, since a list of parts and its sum take it twice
                parts[name] = rows.new_empty(*rows.shape[:2], batches.length, rows.shape[3])
            parts[name][:, :, start : start + len(images)] = rows
        start += len(images)
    readable = batches.gather(torch.cat(readable)).bool()
    unreadable = [batches.files.paths[i] for i in (~readable).nonzero().flatten().tolist()]
    if not readable.any():
        raise InputError(
            f'None of the images can be read ({len(readable)} in all); the first is '
            f'{unreadable[0]!r}.'
        )
    index = readable.nonzero().flatten()
    hashes = batches.gather(torch.cat(hashes))[index]
    chosen = None if labels is None else labels[index.to(labels.device)]
    banks = {}
    for name in list(parts):
        rows = batches.gather(parts.pop(name), dim=2)
        if unreadable:
            rows = rows[:, :, index.to(rows.device)]
        cls, pat = rows.contiguous()  # (L, N, D) each
        banks[name] = FeatureBank(cls, pat, index, hashes, chosen, unreadable)
    return banks


def feature_bank(
    model: FrozenFeatures,
    files: ImageFiles,
    labels: Tensor | None = None,
    layers: Sequence[int] = (-1,),
    cache_dir: str | os.PathLike | None = None,
    batch_size: int = 128,
    num_workers: int = 2,
    scales: Sequence[float] = (1.0,),
    fp16: bool = False,
) -> FeatureBank:
    """Features of a data set by a frozen model; all processes take part.

    Args:
        model (FrozenFeatures): Only its backbone and normalisation are used: the images come at
            the size that ``files`` gives them.
        files (ImageFiles): The images.
        labels (Tensor, optional): int64 (N, ), of all images.
        layers (Sequence[int]): L layers, from 0, or negative from the end.
        cache_dir (str | PathLike, optional): Folder where banks are kept, each under a hash of the
            weights, the files (names, sizes, times) and the settings, so that what is found there
            is what would be extracted. Defaults to None: nothing is kept.
        batch_size (int): Images in a batch.
        num_workers (int): Processes that decode.
        scales (Sequence[float]): Features are sums over images of so many times the size.
        fp16 (bool): Mixed precision in the network. Defaults to False.

    Returns:
        FeatureBank: On the CPU, the same on each process.
    """
    path = None
    if cache_dir is not None:
        settings = [
            __version__, weights_digest(model.backbone), model.mean.tolist(), model.std.tolist(),
            files.fingerprint(), list(layers), None if labels is None else labels.tolist(),
            list(scales), str(_product_type(model, fp16)),
        ]  # fmt: skip
        digest = hashlib.sha256(json.dumps(settings).encode()).hexdigest()
        path = Path(cache_dir) / f'{digest}.safetensors'
        kept = _read(path)
        if all(all_gather_object(kept is not None)):  # one process may not see what another does
            return kept
    batches = ImageBatches(files, batch_size, num_workers)
    encode = partial(_encode, model, layers=layers, scales=scales, fp16=fp16)
    bank = extract(dict(model=encode), batches, labels)['model'].cpu()
    if path is not None:
        if get_dist_info()[0] == 0:
            _write(path, bank)
        barrier()
    return bank


def _product_type(model: FrozenFeatures, fp16: bool) -> torch.dtype:
    """What the network multiplies in: mixed precision is bfloat16 on a CPU, float16 on a GPU."""
    one = torch.ones(1, 1, device=model.mean.device)
    with autocast(enabled=fp16):
        return (one @ one).dtype


def _encode(
    model: FrozenFeatures,
    images: Tensor,
    layers: Sequence[int],
    scales: Sequence[float],
    fp16: bool,
) -> tuple[list[Tensor], list[Tensor]]:
    """Class tokens (B, D) and mean patch tokens (B, 1, D) of each layer, summed over scales.

    Pixels at the right and the bottom that make no whole patch are left out, as a convolution
    without padding does [DINO release].
    """
    images = model.normalise(images)
    sums = None
    for scale in scales:
        resized = images
        if scale != 1:
            resized = F.interpolate(images, scale_factor=scale, mode='bilinear')
        rows, columns = (max(side // model.patch_size, 1) * model.patch_size for side in
                         resized.shape[-2:])  # fmt: skip
        with autocast(enabled=fp16):
            cls, patches = model.tokens(resized[..., :rows, :columns], layers)
        found = [*cls, *(each.flatten(1, 2).float().mean(1, keepdim=True) for each in patches)]
        sums = found if sums is None else [a + b for a, b in zip(sums, found, strict=True)]
    return sums[: len(layers)], sums[len(layers) :]


def _write(path: Path, bank: FeatureBank) -> None:
    tensors = dict(cls=bank.cls, pat=bank.pat, index=bank.index, hashes=bank.hashes)
    if bank.labels is not None:
        tensors['labels'] = bank.labels
    unreadable = json.dumps(list(bank.unreadable))
    metadata = dict(unreadable=unreadable, sha256=_hash(tensors, unreadable))
    with written_whole(str(path)) as temporary:
        save_file(tensors, temporary, metadata)


def _read(path: Path) -> FeatureBank | None:
    """What is kept, or None if that is nothing or in any way not what was written."""
    try:
        with safe_open(str(path), 'pt') as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}
            metadata = file.metadata() or {}
    except (OSError, SafetensorError):
        return None
    unreadable = metadata.get('unreadable', '')
    if metadata.get('sha256') != _hash(tensors, unreadable):
        return None
    return FeatureBank(**tensors, unreadable=json.loads(unreadable))


def _hash(tensors: Mapping[str, Tensor], unreadable: str) -> str:
    return hashlib.sha256((hash_tensors(tensors) + unreadable).encode()).hexdigest()
