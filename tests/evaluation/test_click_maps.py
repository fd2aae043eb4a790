import numpy as np
import pytest
import torch

from mmc_plugin.evaluation.click_maps import click_maps
from mmc_plugin.models.utils import ViewDataPreprocessor


class Model:
    """Features that are the patch's mean colour."""

    patch_size = 4
    data_preprocessor = ViewDataPreprocessor([100.0] * 3, [50.0] * 3, to_rgb=True)

    def extract_feat(self, images, network):
        self.asked = network
        pooled = torch.nn.functional.avg_pool2d(images, 4)
        return None, pooled.flatten(2).transpose(1, 2)


def test_cosines_to_the_clicked_patch():
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(256, (2, 3, 16, 16), dtype=torch.uint8, generator=generator)
    points = [(0.0, 0.999), (0.51, 0.26)]  # x, y: bottom left; third column, second row
    model = Model()
    maps = click_maps(model, images, points)
    assert maps.shape == (2, 4, 4) and model.asked == 'teacher'
    for image, found, (row, column) in zip(images, maps, [(3, 0), (1, 2)], strict=True):
        feats = (
            ((image.double().numpy() - 100) / 50).reshape(3, 4, 4, 4, 4).mean((2, 4))
        )  # (3, 4, 4)
        clicked = feats[:, row, column]
        dots = np.einsum('chw,c->hw', feats, clicked)
        norms = np.linalg.norm(feats, axis=0) * np.linalg.norm(clicked)
        assert found.numpy() == pytest.approx(dots / norms, abs=1e-5)
        assert found[row, column] == pytest.approx(1)
