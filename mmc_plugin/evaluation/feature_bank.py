"""Features of all images of a data set, extracted once by any number of processes."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from mmengine.dist import all_gather, all_gather_object, barrier, get_dist_info
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor
from torch.utils.data import DataLoader, Subset

from ..datasets.image_files import ImageFiles
from ..durable import write_durably
from ..errors import InputError
from ..models.features import FrozenFeatures, weights_digest
from ..version import __version__

# Images uint8 RGB (B, 3, S, S) → for each of L layers (B, D), and (B, …, D).
Encoder = Callable[[Tensor], tuple[Sequence[Tensor], Sequence[Tensor]]]

KINDS = ('cls', 'pat', 'hybrid')
# Decoded images are kept in memory if a process' part of a data set is not larger.
KEEP_BYTES = 1 << 30


@dataclass(frozen=True)
class FeatureBank:
    """Features of N images in the order of their data set, without those that cannot be read.

    Attributes:
        cls: Class tokens (L, N, D).
        pat: Means of the patch tokens (L, N, D).
        index: int64 (N, ), place of each image in the data set.
        labels: int64 (N, ), if the data set has any.
        unreadable: Paths of what was left out.
    """

    cls: Tensor
    pat: Tensor
    index: Tensor
    labels: Tensor | None = None
    unreadable: Sequence[str] = field(default=())

    def __len__(self) -> int:
        return len(self.index)

    def cpu(self) -> FeatureBank:
        """The same in the memory of the CPU."""
        labels = None if self.labels is None else self.labels.cpu()
        return FeatureBank(
            self.cls.cpu(), self.pat.cpu(), self.index.cpu(), labels, self.unreadable
        )

    def features(self, kind: str = 'cls', layer: int = -1) -> Tensor:
        """Features of one kind (arXiv 2308.11448, table 6).

        Args:
            kind (str): ``'cls'``, ``'pat'``, or ``'hybrid'``: both, concatenated.
            layer (int): Place among the layers that were extracted. Defaults to the last.

        Returns:
            Tensor: (N, D), or (N, 2D) for ``'hybrid'``.

        Raises:
            ValueError: For another kind.
        """
        if kind not in KINDS:
            raise InputError(f'kind must be one of {", ".join(KINDS)}, got {kind!r}.')
        if kind == 'hybrid':
            return torch.cat([self.cls[layer], self.pat[layer]], dim=1)
        return getattr(self, kind)[layer]


class ImageBatches:
    """This process' part of the images of a data set, in batches; kept decoded if it is small.

    Args:
        files (ImageFiles): Pairs of an image uint8 RGB (3, S, S) and whether it could be read.
        batch_size (int): Images in a batch.
        num_workers (int): Processes that decode.
    """

    def __init__(self, files: ImageFiles, batch_size: int = 128, num_workers: int = 2) -> None:
        self.files = files
        rank, world = get_dist_info()
        # Equal parts, so that they can be gathered; the last images may appear twice and are cut.
        ceiling = -(-len(files) // world) * world
        part = [i % len(files) for i in range(rank, ceiling, world)]
        self.loader = DataLoader(Subset(files, part), batch_size, num_workers=num_workers)
        self.keep = len(part) * 3 * files.crop**2 <= KEEP_BYTES
        self._kept: list[tuple[Tensor, Tensor]] = []

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Pairs of images uint8 (B, 3, S, S) and whether they could be read, bool (B, )."""
        if self._kept:
            yield from self._kept
            return
        kept = []
        for batch in self.loader:
            if self.keep:
                kept.append(batch)
            yield batch
        self._kept = kept

    def gather(self, part: Tensor) -> Tensor:
        """Rows (N, …) of all processes' parts (n, …) in the order of the data set."""
        return torch.stack(all_gather(part), dim=1).flatten(0, 1)[: len(self.files)]


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
    parts: dict[str, list[Tensor]] = {name: [] for name in encoders}
    readable = []
    for images, ok in batches:
        readable.append(ok.byte())  # gloo gathers no bool
        for name, encode in encoders.items():
            cls, patches = (torch.stack([each.float() for each in layers]) for layers in
                            encode(images))  # fmt: skip
            means = patches.flatten(2, -2).mean(2)  # (L, B, D)
            parts[name].append(torch.stack([cls, means]).movedim(2, 0))  # (B, 2, L, D)
    readable = batches.gather(torch.cat(readable)).bool()
    unreadable = [batches.files.paths[i] for i in (~readable).nonzero().flatten().tolist()]
    if not readable.any():
        raise InputError(
            f'None of the {len(readable)} images can be read; the first is {unreadable[0]!r}.'
        )
    index = readable.nonzero().flatten()
    banks = {}
    for name, part in parts.items():
        rows = batches.gather(torch.cat(part))
        cls, pat = rows[index.to(rows.device)].movedim(0, 2).contiguous()  # (L, N, D) each
        chosen = None if labels is None else labels[index.to(labels.device)]
        banks[name] = FeatureBank(cls, pat, index, chosen, unreadable)
    return banks


def feature_bank(
    model: FrozenFeatures,
    files: ImageFiles,
    labels: Tensor | None = None,
    layers: Sequence[int] = (-1,),
    cache_dir: str | os.PathLike | None = None,
    batch_size: int = 128,
    num_workers: int = 2,
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

    Returns:
        FeatureBank: On the CPU, the same on each process.
    """
    path = None
    if cache_dir is not None:
        settings = [
            __version__, weights_digest(model.backbone), model.mean.tolist(), model.std.tolist(),
            files.fingerprint(), list(layers), None if labels is None else labels.tolist(),
        ]  # fmt: skip
        digest = hashlib.sha256(json.dumps(settings).encode()).hexdigest()
        path = Path(cache_dir) / f'{digest}.safetensors'
        kept = _read(path)
        if all(all_gather_object(kept is not None)):  # one process may not see what another does
            return kept
    batches = ImageBatches(files, batch_size, num_workers)
    encode = lambda images: model.tokens(model.normalise(images), layers)
    bank = extract(dict(model=encode), batches, labels)['model'].cpu()
    if path is not None:
        if get_dist_info()[0] == 0:
            _write(path, bank)
        barrier()
    return bank


def _write(path: Path, bank: FeatureBank) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    tensors = dict(cls=bank.cls, pat=bank.pat, index=bank.index)
    if bank.labels is not None:
        tensors['labels'] = bank.labels
    metadata = dict(unreadable=json.dumps(list(bank.unreadable)))
    write_durably(path, save(tensors, metadata))


def _read(path: Path) -> FeatureBank | None:
    """What is kept, or None if that is nothing or damaged."""
    try:
        with safe_open(str(path), 'pt') as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}
            return FeatureBank(**tensors, unreadable=json.loads(file.metadata()['unreadable']))
    except (FileNotFoundError, SafetensorError):
        return None
