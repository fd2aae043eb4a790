"""Parameters that the optimiser leaves alone in the first epochs."""

from types import SimpleNamespace
from unittest.mock import Mock

import pytest
import torch
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop
from torch import nn

from mmc_plugin.engine.hooks import FreezeHook


def run(model, epochs):
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1, weight_decay=0.5)
    runner = SimpleNamespace(
        model=model,
        epoch=0,
        optim_wrapper=SimpleNamespace(optimizer=optimizer),
        train_loop=Mock(spec=EpochBasedTrainLoop),
    )
    FreezeHook('last_layer', epochs).before_train(runner)
    moved = []
    for runner.epoch in range(3):
        before = model.last_layer.weight.detach().clone(), model.first.weight.detach().clone()
        optimizer.zero_grad()
        model.last_layer(model.first(torch.ones(2, 4))).square().sum().backward()
        optimizer.step()
        after = model.last_layer.weight.detach(), model.first.weight.detach()
        moved.append([not torch.equal(one, two) for one, two in zip(before, after, strict=True)])
    return moved, optimizer.state[model.last_layer.weight]


def test_no_step_no_decay_no_moments_until_the_epochs_are_over():
    torch.manual_seed(0)
    model = nn.ModuleDict(dict(first=nn.Linear(4, 4), last_layer=nn.Linear(4, 2)))
    model.first, model.last_layer = model['first'], model['last_layer']
    moved, state = run(model, epochs=2)
    assert moved == [[False, True], [False, True], [True, True]]
    assert state['step'] == 1


def test_a_word_that_no_name_holds_is_refused():
    model = nn.Linear(2, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    runner = SimpleNamespace(
        model=model,
        optim_wrapper=SimpleNamespace(optimizer=optimizer),
        train_loop=Mock(spec=EpochBasedTrainLoop),
    )
    with pytest.raises(ValueError, match="no trained parameter has 'last_layer' in its name"):
        FreezeHook('last_layer').before_train(runner)


def test_names_are_those_of_the_unsharded_model():
    head = nn.ModuleDict(dict(last_layer=nn.Linear(2, 2)))
    model = nn.ModuleDict(dict(head=nn.ModuleDict(dict(_fsdp_wrapped_module=head))))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    runner = SimpleNamespace(
        model=model,
        epoch=0,
        optim_wrapper=SimpleNamespace(optimizer=optimizer),
        train_loop=Mock(spec=EpochBasedTrainLoop),
    )
    FreezeHook('head.last_layer').before_train(runner)
    head['last_layer'](torch.ones(1, 2)).sum().backward()
    optimizer.step()
    assert head['last_layer'].weight.grad is None


def test_a_run_without_epochs_is_refused():
    runner = SimpleNamespace(train_loop=Mock(spec=IterBasedTrainLoop))
    with pytest.raises(ValueError, match='counts epochs, of which a run by iterations has none'):
        FreezeHook('last_layer').before_train(runner)
