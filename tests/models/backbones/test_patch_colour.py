import torch

from mmc_plugin.models.backbones.patch_colour import PatchColour


def test_tokens_are_mean_colours_of_the_image_and_its_patches():
    images = torch.randn(2, 3, 8, 12, generator=torch.Generator().manual_seed(0))
    (tokens,) = PatchColour(4)(images)
    assert tokens.shape == (2, 1 + 6, 3)
    torch.testing.assert_close(tokens[:, 0], images.mean((2, 3)))
    for n in range(6):
        row, column = divmod(n, 3)
        patch = images[:, :, 4 * row : 4 * row + 4, 4 * column : 4 * column + 4]
        torch.testing.assert_close(tokens[:, 1 + n], patch.mean((2, 3)))
