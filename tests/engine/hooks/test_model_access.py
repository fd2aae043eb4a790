import random

import numpy as np
import pytest
import torch
from torch import nn

from mmc_plugin.engine.hooks.model_access import denormalise, normalise, undisturbed
from mmc_plugin.models.utils.view_preprocessor import ViewDataPreprocessor


def draw():
    return random.random(), np.random.rand(), torch.rand(1).item()


def test_modes_and_random_states_are_as_before():
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2), nn.Dropout()).train()
    model[1].eval()
    random.seed(0), np.random.seed(0), torch.manual_seed(0)
    expected = draw()
    random.seed(0), np.random.seed(0), torch.manual_seed(0)
    with pytest.raises(RuntimeError, match='inside'), undisturbed(model):
        assert not any(module.training for module in model.modules())
        assert not torch.is_grad_enabled()
        draw()
        raise RuntimeError('inside')
    assert draw() == expected and torch.is_grad_enabled()
    assert [module.training for module in model] == [True, False, True]


@pytest.mark.parametrize('to_rgb', [True, False])
def test_normalise_and_back(to_rgb):
    model = nn.Module()
    mean, std = [120.0, 110, 100], [50.0, 60, 70]
    model.data_preprocessor = ViewDataPreprocessor(mean=mean, std=std, to_rgb=to_rgb)
    images = torch.randint(0, 256, (2, 3, 4, 5), dtype=torch.uint8)
    found = normalise(model, images)
    expected = images if to_rgb else images.flip(1)
    expected = (expected - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)
    torch.testing.assert_close(found, expected)
    assert torch.equal(denormalise(model, found), images)
