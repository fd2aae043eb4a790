import numpy as np
import torch
from scipy.ndimage import center_of_mass

from mmc_plugin.structures.grid_points import cell_centres, centre_prompts, draw_prompts

GENERATOR = torch.Generator().manual_seed(0)


def test_prompts_are_drawn_evenly_among_cells_at_least_half_covered():
    coverage = torch.rand(4, 5, 6, generator=GENERATOR)
    coverage[0, 1, 2] = 0.5
    coverage[3] *= 0.49  # none is half covered: the most covered one
    uniforms = torch.arange(3000)[None].expand(4, -1) / 3000
    cells = draw_prompts(coverage, uniforms)
    assert cells.shape == (4, 3000)
    for m in range(4):
        allowed = np.flatnonzero(coverage[m].flatten() >= 0.5)
        if m == 3:
            allowed = [int(coverage[m].argmax())]
        values, counts = np.unique(cells[m], return_counts=True)
        assert values.tolist() == list(allowed)
        assert counts.max() - counts.min() <= 1


def test_a_prompt_follows_its_own_random_number_only():
    coverage = torch.rand(3, 4, 4, generator=GENERATOR)
    uniforms = torch.rand(3, 5, generator=GENERATOR)
    cells = draw_prompts(coverage, uniforms)
    for m in range(3):
        for r in range(5):
            alone = draw_prompts(coverage[m : m + 1], uniforms[m : m + 1, r : r + 1])
            assert alone.item() == cells[m, r]
    assert (draw_prompts(coverage, torch.full((3, 1), 1 - 2**-24)) < 16).all()


def test_the_centre_is_the_covered_cell_nearest_to_the_centre_of_mass():
    coverage = torch.rand(6, 7, 8, generator=GENERATOR)
    coverage[5] = 0
    coverage[5, 0] = coverage[5, -1] = 1  # two bars: their centre is not covered
    for each, cell in zip(coverage, centre_prompts(coverage)[:, 0], strict=True):
        y, x = center_of_mass(each.numpy())
        distance = {
            (i, j): np.hypot(i - y, j - x) for i in range(7) for j in range(8) if each[i, j] >= 0.5
        }
        assert distance[divmod(cell.item(), 8)] < min(distance.values()) + 1e-4


def test_cell_centres_are_points_of_the_image():
    points = cell_centres(torch.tensor([0, 7]), 2, 4, 10, 40)
    assert points.tolist() == [[5, 2.5], [35, 7.5]]
