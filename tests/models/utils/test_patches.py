import pytest
import torch

from mmc_plugin.models.utils import patchify, unpatchify


def test_patchify_cuts_row_major_channel_first():
    images = torch.randn(2, 3, 8, 12)
    rows = patchify(images, 4)
    assert rows.shape == (2, 6, 48)
    for n, (top, left) in enumerate([(0, 0), (0, 4), (0, 8), (4, 0), (4, 4), (4, 8)]):
        expected = images[:, :, top : top + 4, left : left + 4].reshape(2, -1)
        assert torch.equal(rows[:, n], expected)


def test_unpatchify_is_the_inverse():
    images = torch.randn(2, 3, 8, 12)
    assert torch.equal(unpatchify(patchify(images, 4), 4, 8, 12), images)


def test_a_size_that_patches_do_not_divide_is_refused():
    with pytest.raises(ValueError, match='30x32 pixels cannot be cut into patches of 8x8'):
        patchify(torch.zeros(1, 3, 30, 32), 8)
