"""Random crops and random masks of each image of a set, for how much its features vary."""

from __future__ import annotations

import numpy as np
import torch
from torch.utils.data import Dataset

from .image_files import ImageFiles
from .seeding import ORDER_STREAM, SampleKey, hash_stream, seed_everything_from
from .transforms.gmml import sample_block_mask
from .transforms.loading import UnreadableImageError
from .transforms.packing import to_planes
from .transforms.views import ViewCrop


class RandomViews(Dataset):
    """Views of each image that follow from the seed and the place of the image, and nothing else.

    Args:
        images (ImageFiles): The images; their own cut gives the whole view.
        number (int): V, crops and masks of each image.
        patch (int): Side of a patch in pixels, which masks keep to.
        scale (tuple[float, float]): Area of a crop as a part of the image.
        coverage (float): Part of the whole view that a mask covers.
        seed (int): Of all views.
    """

    def __init__(
        self,
        images: ImageFiles,
        number: int,
        patch: int,
        scale: tuple[float, float] = (0.2, 1.0),
        coverage: float = 0.5,
        seed: int = 0,
    ) -> None:
        self.images, self.number, self.patch, self.coverage = images, number, patch, coverage
        self._crop = ViewCrop(images.crop, scale)
        self._seeds = hash_stream(seed, 0, ORDER_STREAM, len(images))

    def __len__(self) -> int:
        return len(self.images)

    def seed(self, index: int) -> int:
        """Seed of an image, for what is drawn on the network's device, in [0, 2⁶³)."""
        return int(self._seeds[index]) >> 1

    def __getitem__(self, index: int) -> dict:
        """Views of one image.

        Returns:
            dict: ``sample_idx``, ``img_path`` and ``readable``; if it is readable, ``whole`` uint8
            RGB (3, S, S), ``crops`` uint8 RGB (V, 3, S, S) and ``masks`` bool (V, S, S).
        """
        about = dict(sample_idx=index, img_path=self.images.paths[index], readable=True)
        try:
            photograph = self.images.photograph(index)
        except UnreadableImageError:
            return dict(about, readable=False)
        seed_everything_from(SampleKey(index, int(self._seeds[index])))
        pixels = np.array(photograph)  # RGB, of which a crop knows nothing
        crops = [to_planes(self._crop(dict(img=pixels))['img']) for _ in range(self.number)]
        side = self.images.crop
        masks = [sample_block_mask(side, side, self.coverage, self.patch)
                 for _ in range(self.number)]  # fmt: skip
        return dict(
            about,
            whole=self.images[index][0],
            crops=torch.stack(crops),
            masks=torch.from_numpy(np.stack(masks)),
        )
