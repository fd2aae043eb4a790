import pytest
import torch

from mmc_plugin.checkpoints.export.as_program import ExportedFeatures


@pytest.mark.parametrize('kind', ['plain', 'registers', 'swiglu', 'odd'])
@pytest.mark.parametrize('size', [(32, 32), (64, 24), (8, 16)])
def test_equals_the_model(kind, size, make_model, features):
    model = make_model(kind)
    images = torch.randn(2, 3, *size)
    for found, expected in zip(ExportedFeatures(model)(images), features(model, images)):
        torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)
