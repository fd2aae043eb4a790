import random

import numpy as np
import pytest
import torch
from torch import nn

from mmc_plugin.engine.hooks.model_access import undisturbed


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
