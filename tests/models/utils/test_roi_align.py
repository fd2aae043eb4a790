"""RoIAlign against a loop over its samples."""

import math

import torch

from mmc_plugin.models.utils.roi_align import POINTS, roi_align


def bilinear(grid: torch.Tensor, x: float, y: float) -> torch.Tensor:
    """Value at (x, y) in cells, cell centres at .5, the border held."""
    height, width = grid.shape[:2]
    x, y = (min(max(each - 0.5, 0), size - 1) for each, size in ((x, width), (y, height)))
    left, top = min(math.floor(x), width - 2), min(math.floor(y), height - 2)
    dx, dy = x - left, y - top
    return (
        grid[top, left] * (1 - dx) * (1 - dy)
        + grid[top, left + 1] * dx * (1 - dy)
        + grid[top + 1, left] * (1 - dx) * dy
        + grid[top + 1, left + 1] * dx * dy
    )


def test_bins_are_means_of_bilinear_samples():
    torch.manual_seed(0)
    features = torch.randn(2, 5, 7, 3, dtype=torch.float64)
    low = torch.rand(2, 4, 2, dtype=torch.float64) * 0.5
    boxes = torch.cat([low, low + 0.1 + 0.4 * torch.rand(2, 4, 2, dtype=torch.float64)], -1)
    boxes[0, 0] = torch.tensor([0.0, 0, 1, 1])
    bins, points = 3, POINTS
    found = roi_align(features, boxes, bins)
    assert found.shape == (2, 4, 3, 3, 3)
    for b, r, i, j in torch.cartesian_prod(*map(torch.arange, (2, 4, 3, 3))).tolist():
        left, top, right, bottom = (boxes[b, r] * torch.tensor([7, 5, 7, 5])).tolist()
        total = 0
        for v in range(points):
            for u in range(points):
                x = left + (right - left) * (j * points + u + 0.5) / (bins * points)
                y = top + (bottom - top) * (i * points + v + 0.5) / (bins * points)
                total = total + bilinear(features[b], x, y)
        torch.testing.assert_close(found[b, r, i, j], total / points**2, atol=1e-12, rtol=0)


def test_the_whole_map_in_as_many_samples_as_cells_is_its_mean():
    features = torch.randn(2, 4, 4, 3)
    whole = torch.tensor([0.0, 0, 1, 1]).expand(2, 1, 4)
    mean = roi_align(features, whole, 4 // POINTS).mean((2, 3))[:, 0]
    torch.testing.assert_close(mean, features.mean((1, 2)))


def test_boxes_keep_their_precision_where_features_have_less():
    torch.manual_seed(0)
    features = torch.randn(1, 14, 14, 3).bfloat16()
    boxes = torch.tensor([[[0.501, 0.253, 0.748, 0.903]]])
    torch.testing.assert_close(
        roi_align(features, boxes, 3), roi_align(features.float(), boxes, 3), check_dtype=False
    )
