import numpy as np
import torch
from torch import nn

from mmc_plugin.evaluation.reconstruction import corrupt_and_reconstruct, draw_corruption
from mmc_plugin.models.utils import ViewDataPreprocessor


class Darken(nn.Module):
    """A "method" of which layer k makes pixels k grey levels darker."""

    def __init__(self):
        super().__init__()
        self.data_preprocessor = ViewDataPreprocessor([100.0] * 3, [50.0] * 3, to_rgb=True)

    def reconstruct_layers(self, images, layers):
        assert not torch.is_grad_enabled()
        return torch.stack([images - layer / 50 for layer in layers])


def test_masks_and_noise_follow_from_the_seed():
    mask, noise = draw_corruption([0.75, 0.3, 0.75], 32, 8, seed=3)
    assert mask.shape == (3, 32, 32) and noise.shape == (3, 3, 32, 32)
    blocks = mask.view(3, 4, 8, 4, 8)
    assert torch.equal(blocks.all(-1).all(2), blocks.any(-1).any(2))  # whole patches
    assert 0.3 <= mask[1].float().mean() < mask[0].float().mean()
    again = draw_corruption([0.75, 0.3, 0.75], 32, 8, seed=3)
    assert torch.equal(mask, again[0]) and torch.equal(noise, again[1])
    assert not torch.equal(mask, draw_corruption([0.75, 0.3, 0.75], 32, 8, seed=4)[0])


def test_corruption_is_shown_as_the_student_sees_it():
    images = torch.randint(20, 230, (3, 3, 16, 16), dtype=torch.uint8)
    mask, noise = draw_corruption([0.75, 0.75, 0.75], 16, 4, seed=0)
    alien = torch.tensor([False, True, False])
    clean, corrupted, made = corrupt_and_reconstruct(Darken(), images, mask, alien, noise, [0, 7])
    assert np.array_equal(clean, images.permute(0, 2, 3, 1))
    expected = (noise * 50 + 100).round().clamp(0, 255).byte()
    expected[1] = images[0]
    expected = torch.where(mask[:, None], expected, images).permute(0, 2, 3, 1).numpy()
    assert np.array_equal(corrupted, expected)
    inner = (corrupted > 10) & (corrupted < 245)
    assert np.array_equal(made[0], corrupted)
    assert np.array_equal(made[1][inner], corrupted[inner] - 7)
