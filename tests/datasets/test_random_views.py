import numpy as np
import torch
from PIL import Image

from mmc_plugin.datasets.image_files import ImageFiles
from mmc_plugin.datasets.random_views import RandomViews


def images(folder):
    for i in range(3):
        pixels = np.random.default_rng(i).integers(0, 256, (40, 50, 3), dtype=np.uint8)
        pixels[..., 0] //= 8  # little red
        Image.fromarray(pixels).save(folder / f'{i}.png')
    (folder / '1.png').write_bytes(b'broken')
    return ImageFiles([str(folder / f'{i}.png') for i in range(3)], 36, 32)


def test_views_follow_from_seed_and_place(tmp_path):
    files = images(tmp_path)
    views = RandomViews(files, 5, 8)
    first = views[2]
    torch.rand(3)
    np.random.seed(1)
    again = RandomViews(files, 5, 8)[2]
    other = RandomViews(files, 5, 8, seed=1)[2]
    for key in ('crops', 'masks'):
        assert torch.equal(first[key], again[key]) and not torch.equal(first[key], other[key])
        assert len({each.numpy().tobytes() for each in first[key]}) == 5
    assert first['crops'].shape == (5, 3, 32, 32) and first['masks'].shape == (5, 32, 32)
    assert first['crops'][:, 0].float().mean() < 40 < first['crops'][:, 2].float().mean()  # RGB
    assert torch.equal(first['whole'], files[2][0])
    assert views.seed(0) != views.seed(2) and 0 <= views.seed(0) < 2**63


def test_masks_cover_half_in_whole_patches(tmp_path):
    masks = RandomViews(images(tmp_path), 40, 8)[0]['masks']
    cells = masks.unflatten(2, (4, 8)).unflatten(1, (4, 8)).float().mean((2, 4))
    assert set(cells.unique().tolist()) == {0.0, 1.0}
    assert (cells.mean((1, 2)) >= 0.5).all() and cells.mean() < 0.65


def test_a_broken_image_is_said(tmp_path):
    sample = RandomViews(images(tmp_path), 2, 8)[1]
    assert sample['readable'] is False and sample['img_path'].endswith('1.png')
