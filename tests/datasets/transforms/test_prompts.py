import numpy as np
import pytest
import torch

from mmc_plugin.datasets.prompt_dataset import Targets
from mmc_plugin.datasets.transforms.loading import UnreadableImageError
from mmc_plugin.datasets.transforms.prompts import DrawPrompts, PackPrompts, pack_skipped


def targets(height=60, width=90):
    rng = np.random.default_rng(0)
    coarse = rng.random((3, 6, 9)) < 0.5
    masks = np.kron(coarse, np.ones((1, height // 6, width // 9))).astype(bool)
    return Targets(masks, np.zeros((height, width), bool), [4, 1, 1], [7, 2, 3], ['a reason'])


def draw(image_key=5, found=None, **keys):
    return DrawPrompts(**dict(dict(grid=30, repeats=4), **keys))(
        dict(targets=found or targets(), image_key=image_key)
    )['points']


def test_points_lie_in_patches_that_are_half_inside():
    points = draw(repeats=200)
    assert points.shape == (3, 200, 2)
    masks = targets().masks
    for mask, each in zip(masks, points, strict=True):
        for x, y in each.tolist():
            row, column = int(y / 60 * 30), int(x / 90 * 30)
            cell = mask[2 * row : 2 * row + 2, 3 * column : 3 * column + 3]
            assert cell.mean() >= 0.5
            assert (x, y) == (3 * column + 1.5, 2 * row + 1)  # its centre


def test_points_follow_seed_image_target_and_repeat_only():
    first = draw()
    assert torch.equal(first, draw())
    assert torch.equal(first, draw(repeats=9)[:, :4])  # more repeats change none before
    found = targets()
    alone = Targets(found.masks[1:2], found.ignore, [1], [2], [])
    assert torch.equal(first[1:2], draw(found=alone))
    assert not torch.equal(first, draw(image_key=6)) and not torch.equal(first, draw(seed=1))
    found.keys = [8, 2, 3]
    other = draw(found=found)
    assert torch.equal(first[1:], other[1:]) and not torch.equal(first[0], other[0])


def test_the_centre_is_one_point():
    assert draw(how='centre').shape == (3, 1, 2)
    assert torch.equal(draw(how='centre'), draw(how='centre', seed=4, image_key=9))


def test_a_tiny_mask_gets_its_most_covered_patch():
    masks = np.zeros((1, 60, 90), bool)
    masks[0, 31, 44] = True
    points = draw(found=Targets(masks, masks[0] & False, [0], [0], []))
    assert points.unique(dim=1).tolist() == [[[43.5, 31]]]


def test_wrong_keys_are_refused():
    with pytest.raises(ValueError, match="'random' or 'centre'"):
        DrawPrompts(how='middle')
    with pytest.raises(ValueError, match='at least 1'):
        DrawPrompts(repeats=0)


def packed(shape):
    image = np.random.default_rng(1).integers(0, 256, (*shape, 3), dtype=np.uint8)
    results = dict(
        img=image, img_path='a.jpg', sample_idx=3, targets=targets(), points=torch.zeros(3, 4, 2)
    )
    return image, PackPrompts()(results)


@pytest.mark.parametrize('shape', [(60, 90), (120, 180), (121, 180)])
def test_a_sample_has_rgb_pixels_and_its_targets(shape):
    image, data = packed(shape)
    assert np.array_equal(data['inputs'].permute(1, 2, 0), image[..., ::-1])
    sample = data['data_samples']
    assert sample.masks.shape == (3, 60, 90) and sample.masks.dtype == torch.bool
    assert sample.ignore.shape == (60, 90) and sample.labels.tolist() == [4, 1, 1]
    assert sample.points.shape == (3, 4, 2)
    assert (sample.sample_idx, sample.img_path, sample.skipped) == (3, 'a.jpg', None)
    assert sample.left_out == ['a reason']


@pytest.mark.parametrize('shape', [(90, 60), (60, 120)])
def test_masks_of_another_shape_are_refused(shape):
    with pytest.raises(UnreadableImageError, match=f'{shape[1]}×{shape[0]} .* for 90×60'):
        packed(shape)


def test_a_skipped_sample_says_why():
    data = pack_skipped(dict(img_path='b.jpg', sample_idx=1), 'broken')
    assert data['data_samples'].skipped == ('b.jpg', 'broken')
    assert data['inputs'].shape == (3, 1, 1)
