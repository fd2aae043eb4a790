"""Clipping of each tensor by itself."""

import pytest
import torch
from torch import nn

from mmc_plugin.engine.optimizers import AutoPrecisionOptimWrapper


@pytest.mark.parametrize('defer', [False, True])
def test_each_tensor_is_clipped_to_its_own_norm_but_those_that_are_left_out(defer):
    torch.manual_seed(0)
    model = nn.Linear(8, 4)
    model.free = nn.Parameter(torch.ones(4))
    model.free.clipped = False
    wrapper = AutoPrecisionOptimWrapper(
        optimizer=torch.optim.SGD(model.parameters(), lr=1.0),
        precision='fp32',
        clip_grad=dict(type='tensor', max_norm=0.5),
    )
    wrapper.defer_grad_norm = defer
    data = torch.randn(16, 8)
    before = {name: each.detach().clone() for name, each in model.named_parameters()}
    ((model(data) * model.free).square().sum()).backward()
    grads = {name: each.grad.clone() for name, each in model.named_parameters()}
    model.zero_grad()
    wrapper.update_params((model(data) * model.free).square().sum())
    for name, each in model.named_parameters():
        bound = 1e9 if name == 'free' else 0.5
        scale = min(1.0, bound / (float(grads[name].norm()) + 1e-6))
        torch.testing.assert_close(before[name] - each.detach(), grads[name] * scale)
    assert all(float(each.norm()) > 0.5 for each in grads.values())
    whole = torch.stack([each.norm() for name, each in grads.items() if name != 'free']).norm()
    if defer:
        torch.testing.assert_close(wrapper.take_grad_norm()['grad_norm'], whole)


def test_the_hosts_clipping_is_as_it_was():
    model = nn.Linear(8, 4)
    wrapper = AutoPrecisionOptimWrapper(
        optimizer=torch.optim.SGD(model.parameters(), lr=0.0),
        precision='fp32',
        clip_grad=dict(max_norm=0.5),
    )
    assert wrapper.clip_func is torch.nn.utils.clip_grad_norm_
