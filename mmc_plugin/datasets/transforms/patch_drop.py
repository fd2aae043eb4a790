"""Which patches of a view are left (MSN, arXiv 2204.07141)."""

from __future__ import annotations

import numpy as np
from mmpretrain.registry import TRANSFORMS

from ...errors import InputError
from .base import Transform
from .gmml import global_view_size


@TRANSFORMS.register_module()
class PatchDrop(Transform):
    """Draw the patches of each view that are left, in random order.

    Random numbers come from numpy's global state.

    **Required keys:** ``img``: list of at least ``num_views`` arrays (H, W, C), those first ones
    equal in size.

    **Added keys:** ``keep``: int64 array (V, M), M = floor((1 − ratio) · N) places of patches.

    Args:
        num_views: V, number of leading images.
        patch_size: Side of a patch in pixels.
        ratio: Share of the patches that is dropped, in [0, 1) (0.15 for ViT-S: MSN release).

    Raises:
        ValueError: If an argument is out of range, or, on a sample, if there are too few views,
            they differ in size, the patch size does not divide it, or no patch would be left.
    """

    def __init__(self, num_views: int = 2, patch_size: int = 16, ratio: float = 0.15) -> None:
        super().__init__()
        if not 0 <= ratio < 1 or num_views < 1 or patch_size < 1:
            raise InputError(
                'PatchDrop needs ratio in [0, 1), num_views and patch_size of at least 1, got '
                f'{ratio}, {num_views} and {patch_size}.'
            )
        self.num_views, self.patch_size, self.ratio = num_views, patch_size, ratio

    def transform(self, results: dict) -> dict:
        """Add ``keep`` to ``results``."""
        height, width = global_view_size(results, self.num_views, 'PatchDrop', self.patch_size)
        patches = (height // self.patch_size) * (width // self.patch_size)
        left = int((1 - self.ratio) * patches)
        if not left:
            raise InputError(f'PatchDrop leaves none of {patches} patches: lower ratio.')
        drawn = [np.random.permutation(patches)[:left] for _ in range(self.num_views)]
        results['keep'] = np.stack(drawn)
        return results
