"""Patch tokens of a folder of images, kept in files and searched there."""

from __future__ import annotations

import bisect
import itertools
import json
import os
from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from ..errors import InputError
from ..evaluation.functional.neighbours import nearest_neighbours
from ..models.features import FrozenFeatures, weights_digest
from .embeddings import read_manifest

_BLOCK = 1 << 26  # bytes that are looked at at once


class PatchBank:
    """What :func:`embed_folder` wrote of all patches of N images, without reading it.

    The files are mapped into memory: a search reads them block after block, so that a bank may be
    larger than the memory.

    Args:
        folder (str | PathLike): Of safetensors with ``patches`` of whole images
            (``fit='stretch'``).
        layer (int, optional): One of those that were written. Defaults to None: the last of them.

    Attributes:
        names: Of the N images, relative to ``images``.
        images: Folder of the images.
        layer: As they were named when the bank was written.
        size: Side of the square that the images were stretched to, in pixels.
        grid: Rows and columns of the patches of an image, (h, w).
        device: Of the tokens, the CPU.

    Raises:
        FileNotFoundError: If the folder has no manifest.
        ValueError: If it is no such bank, or a file of it is damaged or was written with other
            weights than the manifest says.
    """

    device = torch.device('cpu')

    def __init__(self, folder: str | os.PathLike, layer: int | None = None) -> None:
        manifest = read_manifest(folder)
        self._settings = settings = manifest['settings']
        self._folder = Path(folder)
        if settings['kind'] != 'safetensors' or 'patches' not in settings['what']:
            raise InputError(
                f'{folder} holds {", ".join(settings["what"])} as {settings["kind"]}: a bank needs '
                'patches as safetensors.'
            )
        if settings['fit'] != 'stretch':
            raise InputError(
                f'{folder} was written with fit {settings["fit"]!r}: a bank needs whole images and '
                'nothing else, which is stretch.'
            )
        layers = settings['layers']
        self.layer = layers[-1] if layer is None else layer
        if self.layer not in layers:
            raise InputError(f'{folder} has no layer {layer}, but {", ".join(map(str, layers))}.')
        self._place = layers.index(self.layer)
        self.images, self.size = Path(settings['folder']), settings['size']
        self.names: list[str] = []
        self._files: list[Tensor] = []  # (n, L, h, w, D) each
        for each in manifest['files']:
            if each['images']:
                self._open(self._folder / each['name'])
        if not self.names:
            raise InputError(f'{folder} holds no image.')
        self._starts = [0, *itertools.accumulate(len(each) for each in self._files)]
        self.grid = tuple(self._files[0].shape[2:4])

    def _open(self, path: Path) -> None:
        try:
            with safe_open(str(path), 'pt') as file:
                about = json.loads((file.metadata() or {}).get('about', '{}'))
                patches = file.get_tensor('patches')
        except (OSError, SafetensorError, ValueError) as error:
            raise InputError(
                f'{path} cannot be read ({error}): remove {path.parent} and write it again.'
            ) from error
        if about.get('weights_sha256') != self._settings['weights_sha256'] or (
            self._files and patches.shape[1:] != self._files[0].shape[1:]
        ):
            raise InputError(
                f'{path} was written with another network than the manifest beside it says: a '
                'bank holds the patches of one.'
            )
        self.names += about['names']
        self._files.append(patches)

    def __len__(self) -> int:
        """Patches of all images."""
        return len(self.names) * self.grid[0] * self.grid[1]

    def __getitem__(self, rows: slice) -> Tensor:
        """Tokens of some patches in a row, float32 (n, D)."""
        start, stop, _ = rows.indices(len(self))
        cells = self.grid[0] * self.grid[1]
        first = start // cells
        tokens = self.tokens(first, -(-stop // cells)).flatten(0, 2)
        return tokens[start - first * cells : stop - first * cells]

    def tokens(self, first: int, last: int) -> Tensor:
        """Tokens of images from ``first`` to before ``last``.

        Args:
            first (int): From 0.
            last (int): At most N.

        Returns:
            Tensor: float32 (last − first, h, w, D).
        """
        found = []
        for i in range(bisect.bisect_right(self._starts, first) - 1, len(self._files)):
            low, high = (min(max(each - self._starts[i], 0), len(self._files[i]))
                         for each in (first, last))  # fmt: skip
            if low == high and found:
                break
            found.append(self._files[i][low:high, self._place].float())
        return found[0] if len(found) == 1 else torch.cat(found)

    def blocks(self) -> Iterator[tuple[int, Tensor]]:
        """All tokens, in blocks that take some tens of MB.

        Yields:
            tuple[int, Tensor]: Which image is the first, and float32 (n, h, w, D).
        """
        width = self._files[0].shape[-1]
        step = max(1, _BLOCK // (4 * self.grid[0] * self.grid[1] * width))
        for first in range(0, len(self.names), step):
            yield first, self.tokens(first, min(first + step, len(self.names)))

    def check(self, model: FrozenFeatures) -> None:
        """Refuse to compare the bank with the tokens of another network.

        Args:
            model (FrozenFeatures): Whose tokens are to be looked for.

        Raises:
            ValueError: If its weights, pixels or way to make tokens are not those of the bank.
        """
        mine = dict(
            weights=self._settings['weights_sha256'], mean=self._settings['mean'],
            std=self._settings['std'], fit='stretch', debias=None,
        )  # fmt: skip
        its = dict(
            weights=weights_digest(model.backbone), mean=model.mean.flatten().tolist(),
            std=model.std.flatten().tolist(), fit=model.fit, debias=model.debias,
        )  # fmt: skip
        other = [key for key, value in mine.items() if its[key] != value]
        if other:
            raise InputError(
                f'The bank {self._folder} was written by another network ({", ".join(other)}): '
                'search it with the one that it was written with, or write another.'
            )

    def nearest(
        self, queries: Tensor, k: int = 1, device: str | torch.device | None = None
    ) -> tuple[Tensor, Tensor]:
        """The patches of highest cosine with each query, exactly, see :func:`nearest_neighbours`.

        Args:
            queries (Tensor): float (M, D).
            k (int): Patches for each, at most as many as there are. Defaults to 1.
            device (str | torch.device, optional): To search on. Defaults to the CPU.

        Returns:
            tuple[Tensor, Tensor]: Cosines (M, k), falling, and int64 (M, k) patches, of which
            :meth:`place` says where they are.

        Raises:
            ValueError: If there are fewer than k patches, or the queries have another width.
        """
        width = self._files[0].shape[-1]
        if queries.ndim != 2 or queries.shape[1] != width:
            raise InputError(
                f'Queries must have the shape (M, {width}), got {tuple(queries.shape)}.'
            )
        if not 1 <= k <= len(self):
            raise InputError(f'k must be between 1 and the {len(self)} patches, got {k}.')
        return nearest_neighbours([self], [queries.float()], k, device)

    def place(self, patch: int) -> tuple[str, int, int]:
        """Name of the image that has a patch, and the patch's row and column in it."""
        image, cell = divmod(patch, self.grid[0] * self.grid[1])
        return self.names[image], *divmod(cell, self.grid[1])
