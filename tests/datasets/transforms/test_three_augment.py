"""One of three pictures, each a third of the time; the pictures are PIL's, as in the release."""

import numpy as np
import pytest
from PIL import Image, ImageFilter, ImageOps

from mmc_plugin.datasets.transforms import ThreeAugment


@pytest.fixture
def image():
    smooth = np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(smooth).resize((64, 48), Image.BICUBIC))


def closest(image, found):
    """Which picture of PIL it is, and how far from it: grey, solarized, or blurred best."""
    rgb = Image.fromarray(image[..., ::-1].copy())
    blurs = [rgb.filter(ImageFilter.GaussianBlur(s)) for s in np.linspace(0.1, 2.0, 77).tolist()]
    pictures = [rgb.convert('L').convert('RGB'), ImageOps.solarize(rgb), *blurs]
    off = [np.abs(np.asarray(p)[..., ::-1].astype(float) - found).mean() for p in pictures]
    best = int(np.argmin(off))
    return min(best, 2), off[best]


def test_one_of_three_with_equal_chance(image):
    np.random.seed(0)
    before = image.copy()
    seen = []
    for _ in range(300):
        found = ThreeAugment()(dict(img=image))['img']
        which, off = closest(image, found)
        assert off < 0.7 and found.dtype == np.uint8 and found.shape == image.shape
        seen.append(which)
    counts = np.bincount(seen, minlength=3)
    assert np.abs(counts - 100).max() < 33  # four standard deviations
    np.testing.assert_array_equal(image, before)
