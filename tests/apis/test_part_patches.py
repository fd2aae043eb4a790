"""Nearest parts against a loop over windows."""

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import functional as TF

from mmc_plugin.apis import nearest_part_patches
from mmc_plugin.models.features import FrozenFeatures

COLOUR = dict(type='PatchColour', patch_size=8)
SIDE = 56  # of what the network sees, 64 pixels of an image's short side


def picture(seed, height=64, width=96):
    rng = np.random.default_rng(seed)
    cells = rng.integers(0, 256, (height // 8, width // 8, 3), dtype=np.uint8)
    return cells.repeat(8, 0).repeat(8, 1)


@pytest.fixture(scope='module')
def model():
    return FrozenFeatures(COLOUR, SIDE)


def slow(model, image):
    """Box → mean colour of length 1, of all windows of the middle of an image."""
    height, width = image.shape[:2]
    top, left = (height - SIDE) // 2, (width - SIDE) // 2  # the short side is 64 already
    middle = Image.fromarray(image[top : top + SIDE, left : left + SIDE])
    large = np.asarray(TF.resize(middle, [4 * SIDE] * 2, TF.InterpolationMode.BICUBIC))
    mean, std = (each.flatten().double().numpy() for each in (model.mean, model.std))
    found = {}
    for y in range(0, 3 * SIDE + 1, SIDE // 2):
        for x in range(0, 3 * SIDE + 1, SIDE // 2):
            colour = large[y : y + SIDE, x : x + SIDE].astype(float).mean((0, 1))
            colour = (colour - mean) / std
            box = x / 4, y / 4, (x + SIDE) / 4, (y + SIDE) / 4
            found[box] = colour / np.linalg.norm(colour)
    return found


def test_against_a_loop(model):
    image, others = picture(0), [picture(1), picture(2, 80, 64)[8:72]]
    query, found, skipped = nearest_part_patches(model, image, (48, 32), others, 9, 'pat')
    assert query.box == (21, 21, 35, 35) and not skipped  # the middle of the middle
    colour = slow(model, image)[query.box]
    expected = sorted(
        ((float(each @ colour), place, box) for place, other in enumerate(others)
         for box, each in slow(model, other).items()), reverse=True
    )[:9]  # fmt: skip
    assert len(found) == 9
    for each, (cosine, place, box) in zip(found, expected, strict=True):
        assert (each.place, each.box) == (place, box)
        assert each.cosine == pytest.approx(cosine, abs=1e-5)


@pytest.mark.parametrize(
    'point, box',
    [
        ((20, 4), (0, 0, 14, 14)),
        ((75, 59), (42, 42, 56, 56)),
        ((48, 4), (21, 0, 35, 14)),
        ((57, 32), (28, 21, 42, 35)),  # 57.5 - 20 = 37.5 is nearer to the centre 35 than to 42
    ],
)
def test_the_window_of_a_point(model, point, box):
    query, _, _ = nearest_part_patches(model, picture(0), point, [])
    assert query.box == box


@pytest.mark.parametrize('kind', ['cls', 'pat', 'hybrid'])
def test_a_part_is_found_where_it_was_put(kind):
    torch.manual_seed(0)
    arch = dict(embed_dims=64, num_layers=2, num_heads=1, feedforward_channels=64)
    vit = dict(type='PretrainedViT', arch=arch, img_size=56, patch_size=8, out_type='raw')
    model = FrozenFeatures(vit, SIDE)
    image, other = picture(0), picture(1)
    image[:, :16], other[:, :16] = 0, 0
    # The window of the query and a margin around it, 14 pixels further down and to the left.
    other[4 + 35 - 4 : 4 + 49 + 4, 20 + 7 - 4 : 20 + 21 + 4] = image[
        4 + 21 - 4 : 4 + 35 + 4, 20 + 21 - 4 : 20 + 35 + 4
    ]
    _, found, _ = nearest_part_patches(model, image, (48, 32), [picture(2), other], 3, kind)
    assert (found[0].place, found[0].box) == (1, (7, 35, 21, 49))
    assert found[0].cosine > 0.999 > found[1].cosine


def test_what_cannot_be_read_is_told_and_what_is_wrong_gets_a_sentence(model, tmp_path):
    (tmp_path / 'a.png').write_bytes(b'no image')
    path = str(tmp_path / 'a.png')
    _, found, (error,) = nearest_part_patches(model, picture(0), (48, 32), [path, picture(1)], 99)
    assert error.path == path and len(found) == 49 and {each.place for each in found} == {1}
    for point, words in (
        ((19, 32), 'x must be in 20 … 75'),
        ((48, 61), 'y must be in 4 … 59'),
        ((float('nan'), 3), 'lies outside of the middle'),
    ):
        with pytest.raises(ValueError, match=words):
            nearest_part_patches(model, picture(0), point, [])
    with pytest.raises(ValueError, match='of 500 × 1 pixels is too long'):
        nearest_part_patches(model, np.zeros((1, 500, 3), np.uint8), (250, 0), [])
    with pytest.raises(ValueError, match='number must be positive and kind one of cls'):
        nearest_part_patches(model, picture(0), (48, 32), [], 0)
    with pytest.raises(ValueError, match="got 7 and 'CLS'"):
        nearest_part_patches(model, picture(0), (48, 32), [], kind='CLS')
    with pytest.raises(ValueError, match='model.debias is for maps of patches'):
        debiased = FrozenFeatures(COLOUR, SIDE, debias='mean')
        nearest_part_patches(debiased, picture(0), (48, 32), [])
