"""The images of a data set in batches, each process its part."""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import DataLoader, Subset

from ..datasets.image_files import ImageFiles
from .process_parts import gather_parts, own_part

# Decoded images are kept in memory if a process' part of a data set is not larger.
KEEP_BYTES = 1 << 30


class ImageBatches:
    """This process' part of the images of a data set, in batches; kept decoded if it is small.

    Args:
        files (ImageFiles): Pairs of an image uint8 RGB (3, S, S) and whether it could be read.
        batch_size (int): Images in a batch.
        num_workers (int): Processes that decode.
    """

    def __init__(self, files: ImageFiles, batch_size: int = 128, num_workers: int = 2) -> None:
        self.files = files
        part = own_part(len(files))
        self.length = len(part)
        if files.fit == 'long':
            batch_size = 1  # images of different shapes
        self.loader = DataLoader(Subset(files, part), batch_size, num_workers=num_workers)
        self.keep = self.length * 3 * files.crop**2 <= KEEP_BYTES
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

    def gather(self, part: Tensor, dim: int = 0) -> Tensor:
        """Entries along ``dim`` of all processes' parts, in the order of the data set."""
        return gather_parts(part, len(self.files), dim)


def pixel_hashes(images: Tensor) -> Tensor:
    """A number for each image that is equal for equal pixels, and hardly ever for others.

    Args:
        images (Tensor): uint8 (B, C, H, W).

    Returns:
        Tensor: int64 (B, ): sum of words of four bytes times random odd numbers, modulo 2⁶⁴.
    """
    flat = images.flatten(1)
    flat = F.pad(flat, (0, -flat.shape[1] % 4)).contiguous()
    generator = torch.Generator().manual_seed(images.shape[-1])  # the shape counts too
    words = flat.view(torch.int32).long()
    factors = torch.randint(-(2**63), 2**63 - 1, words.shape[1:], generator=generator) | 1
    return (words * factors).sum(1)
