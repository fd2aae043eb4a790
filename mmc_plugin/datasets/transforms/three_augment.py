"""The three augmentations of DeiT III (arXiv 2204.07118), of which each image gets one."""

import numpy as np
from mmpretrain.registry import TRANSFORMS

from . import view_ops
from .base import Transform


@TRANSFORMS.register_module()
class ThreeAugment(Transform):
    """Make an image grey, solarize it or blur it, with equal chance.

    The release's crop and flip come before, its colour jitter of .3 after it, as transforms of
    their own. Solarization inverts values from 128 on; the blur's standard deviation is uniform in
    [.1, 2] pixels. Draws from numpy's global state.

    **Required keys:** ``img``: uint8 array (H, W, 3), BGR.

    **Modified keys:** ``img``.
    """

    def transform(self, results: dict) -> dict:
        """Replace ``results['img']``."""
        image = results['img']
        choice = np.random.randint(3)
        if choice == 0:
            results['img'] = view_ops.to_grey(image)
        elif choice == 1:
            results['img'] = view_ops.solarize(image, 128)
        else:
            results['img'] = view_ops.gaussian_blur(image, np.random.uniform(0.1, 2.0))
        return results
