import numpy as np
import pytest
import torch
import torch.nn.functional as F

from mmc_plugin.evaluation.functional.refinement import (
    bilateral_solver,
    guided_filter,
    refine_maps,
)


def picture(height, width, seed=0):
    """Two colours with noise, apart along a slanted edge; and which side a pixel is on."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    side = x + 0.5 * y > 0.7 * width
    image = np.where(side[..., None], (200, 60, 40), (60, 90, 180)) + rng.normal(
        0, 12, (height, width, 3)
    )
    return image.clip(0, 255).astype(np.uint8), side


def test_the_guided_filter_is_a_ridge_regression_in_each_window():
    image, _ = picture(13, 17)
    maps = np.random.default_rng(1).normal(size=(2, 13, 17)).astype(np.float32)
    radius, eps = 2, 1e-3
    colours = np.pad(image / 255.0, ((4, 4), (4, 4), (0, 0)), mode='symmetric')
    found = guided_filter(maps, image, radius, eps)
    for each, got in zip(maps.astype(np.float64), found, strict=True):
        padded = np.pad(each, 4, mode='symmetric')
        total = np.zeros((13, 17))
        for y in range(13):
            for x in range(17):
                for down in range(-radius, radius + 1):
                    for right in range(-radius, radius + 1):
                        # The window around a neighbour; its line, at this pixel.
                        rows = slice(y + down - radius + 4, y + down + radius + 5)
                        columns = slice(x + right - radius + 4, x + right + radius + 5)
                        guide = colours[rows, columns].reshape(-1, 3)
                        value = padded[rows, columns].ravel()
                        centred = guide - guide.mean(0)
                        slope = np.linalg.solve(
                            centred.T @ centred / 25 + eps * np.eye(3),
                            centred.T @ (value - value.mean()) / 25,
                        )
                        # Windows beyond a side are mirrored with the image.
                        at = colours[y + 4, x + 4]
                        total[y, x] += slope @ (at - guide.mean(0)) + value.mean()
        np.testing.assert_allclose(got[2:-2, 2:-2], total[2:-2, 2:-2] / 25, atol=2e-4)


def test_the_bilateral_solver_is_the_solution_of_its_dense_system():
    image, _ = picture(20, 20)
    maps = np.random.default_rng(1).normal(size=(2, 20, 20))
    luma_of = np.array([0.299, 0.587, 0.114])
    luma = np.rint(image @ luma_of)
    spatial, smoothness = 4.0, 16.0
    found = bilateral_solver(maps, image, spatial, 16.0, 8.0, smoothness)
    vertices, owner = {}, []
    for y in range(20):
        for x in range(20):
            red, _, blue = (float(each) for each in image[y, x])
            place = (
                y // spatial,
                x // spatial,
                luma[y, x] // 16,
                np.rint((red - luma[y, x]) * 0.713 + 128) // 8,
                np.rint((blue - luma[y, x]) * 0.564 + 128) // 8,
            )
            owner.append(vertices.setdefault(place, len(vertices)))
    number = len(vertices)
    assert 20 < number < 400
    splat = np.zeros((number, 400))
    splat[owner, range(400)] = 1
    blur = 10.0 * np.eye(number)
    for one, i in vertices.items():
        for other, j in vertices.items():
            blur[i, j] += sum(abs(a - b) for a, b in zip(one, other, strict=True)) == 1
    mass, n = splat.sum(1), np.ones(number)
    for _ in range(10):
        n = np.sqrt(n * mass / (blur @ n))
    m = n * (blur @ n)
    system = smoothness * (np.diag(m) - np.diag(n) @ blur @ np.diag(n)) + np.diag(mass)
    for each, got in zip(maps, found, strict=True):
        solved = splat.T @ np.linalg.solve(system, splat @ each.ravel())
        np.testing.assert_allclose(got.ravel(), solved, atol=4e-3)
    assert np.abs(found - maps).max() > 0.5


@pytest.mark.parametrize('how', ['guided', 'bilateral'])
def test_a_blurred_map_snaps_to_the_edge_of_its_image(how):
    image, side = picture(96, 128)
    coarse = F.adaptive_avg_pool2d(torch.from_numpy(side).float()[None, None], (6, 8))
    maps = F.interpolate(coarse, (96, 128), mode='bilinear')[0]
    pixels = torch.from_numpy(image.transpose(2, 0, 1).copy())
    refined = refine_maps(torch.cat([maps, 3 - 2 * maps]), pixels, how, (6, 8))
    wrong = ((maps[0] > 0.5).numpy() != side).mean()
    assert ((refined[0] > 0.5).numpy() != side).mean() < 0.5 * wrong
    # Both ways are linear in the map, and keep a constant one.
    torch.testing.assert_close(refined[1], 3 - 2 * refined[0], atol=0.02, rtol=0)
    flat = refine_maps(torch.full((1, 96, 128), -0.3), pixels, how, (6, 8))
    torch.testing.assert_close(flat, torch.full_like(flat, -0.3), atol=1e-3, rtol=0)
    # An image of another size is brought to that of the maps.
    twice = F.interpolate(pixels[None].float(), scale_factor=2)[0].byte()
    again = refine_maps(maps, twice, how, (6, 8))
    torch.testing.assert_close(again[0], refined[0], atol=1e-5, rtol=0)


def test_another_way_is_refused():
    with pytest.raises(ValueError, match="'guided', 'bilateral', got 'crf'"):
        refine_maps(torch.zeros(1, 4, 4), torch.zeros(3, 4, 4, dtype=torch.uint8), 'crf', (1, 1))
