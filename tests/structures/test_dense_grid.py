import pytest
import torch
import torch.nn.functional as F

from mmc_plugin.structures.dense_grid import shifted_features

PATCH, SIDE = 6, 24


def patch_means(images):
    return F.avg_pool2d(images, PATCH).permute(0, 2, 3, 1)


def naive(images, stride):
    """Each cell: mean over the patches of all shifts that hold it."""
    batch, channels, *_ = images.shape
    cells = SIDE // stride
    out = torch.zeros(batch, cells, cells, channels)
    for i in range(cells):
        for j in range(cells):
            found = []
            for down in range(0, PATCH, stride):
                for right in range(0, PATCH, stride):
                    top = (i * stride + down) // PATCH * PATCH - down
                    left = (j * stride + right) // PATCH * PATCH - right
                    if top + PATCH + down > SIDE or left + PATCH + right > SIDE:
                        continue  # beyond the canvas of this pass
                    rows = torch.arange(top, top + PATCH).clamp(min=0)
                    columns = torch.arange(left, left + PATCH).clamp(min=0)
                    found.append(images[:, :, rows][..., columns].mean((2, 3)))
            out[:, i, j] = torch.stack(found).mean(0)
    return out


@pytest.mark.parametrize('stride', [2, 3, 6])
def test_cells_are_means_over_the_patches_that_hold_them(stride):
    images = torch.randn(2, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    found = shifted_features(patch_means, images, PATCH, stride)
    torch.testing.assert_close(found, naive(images, stride), atol=1e-5, rtol=0)


def test_edges_are_drawn_more_finely():
    images = torch.zeros(1, 1, SIDE, SIDE)
    images[..., 9:] = 1  # half way through the second patch
    coarse = shifted_features(patch_means, images, PATCH, 6)[0, 1, :, 0]
    fine = shifted_features(patch_means, images, PATCH, 1)[0, 12, :, 0]
    assert coarse.tolist() == [0, 0.5, 1, 1]
    assert (fine.diff() >= -1e-6).all() and fine[8] < 0.5 < fine[9]


@pytest.mark.parametrize('stride', [0, 4, 12])
def test_strides_that_do_not_divide_the_patch_are_refused(stride):
    with pytest.raises(ValueError, match=r'one of 1, 2, 3, 6\), got'):
        shifted_features(patch_means, torch.zeros(1, 3, SIDE, SIDE), PATCH, stride)
