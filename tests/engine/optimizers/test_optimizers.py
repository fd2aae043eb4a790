"""The optimiser wrapper in bfloat16 and the merged parameter groups."""

import copy

import pytest
import torch
from mmengine.config import ConfigDict
from mmpretrain.registry import MODELS, OPTIM_WRAPPER_CONSTRUCTORS, OPTIM_WRAPPERS
from torch import nn

import mmc_plugin  # noqa: F401  registers the parts
from mmc_plugin.engine.optimizers import BFloat16OptimWrapper

MERGED = 'MergedGroupsOptimWrapperConstructor'
PARAMWISE = [
    dict(),
    dict(norm_decay_mult=0.0, bias_decay_mult=0.0, flat_decay_mult=0.0),
    dict(
        bias_lr_mult=2.0,
        custom_keys={
            '.cls_token': dict(decay_mult=0.5),
            'patch_head': dict(lr_mult=0.1, decay_mult=3.0),
        },
    ),
]


@pytest.fixture(scope='module')
def model():
    arch = dict(embed_dims=24, num_layers=2, num_heads=2, feedforward_channels=48)
    head = dict(in_channels=24, hidden_channels=16, out_channels=8)
    model = MODELS.build(
        dict(
            type='MMC',
            backbone=dict(
                type='VisionTransformer', arch=arch, img_size=16, patch_size=8, out_type='raw'
            ),
            rec_head=dict(
                type='PixelReconstructionHead', in_channels=24, patch_size=8, hidden_channels=16
            ),
            patch_head=dict(type='PatchContrastHead', **head),
            cls_head=dict(type='GlobalContrastHead', **head),
        )
    )
    model.backbone.patch_embed.requires_grad_(False)  # frozen, and not the teacher's
    return model


def wrapper_of(model, paramwise_cfg, constructor=MERGED, wrapper='OptimWrapper'):
    """What a constructor of optimiser wrappers makes for the model."""
    build = OPTIM_WRAPPER_CONSTRUCTORS.build(
        dict(
            type=constructor,
            optim_wrapper_cfg=ConfigDict(
                type=wrapper, optimizer=dict(type='AdamW', lr=1e-3, weight_decay=0.04, fused=True)
            ),
            paramwise_cfg=copy.deepcopy(paramwise_cfg),
        )
    )
    return build(model)


def settings(optimiser):
    """Learning rate and decay of each parameter."""
    return {
        p: (group['lr'], group['weight_decay'])
        for group in optimiser.param_groups
        for p in group['params']
    }


@pytest.mark.parametrize('paramwise_cfg', PARAMWISE)
def test_merged_groups_are_those_of_the_host_for_every_trained_parameter(model, paramwise_cfg):
    host = settings(wrapper_of(model, paramwise_cfg, 'DefaultOptimWrapperConstructor').optimizer)
    mine = settings(wrapper_of(model, paramwise_cfg).optimizer)
    assert set(mine) == {p for p in model.parameters() if p.requires_grad}
    # Where there is no paramwise_cfg, the host lists frozen parameters too.
    assert mine == {p: value for p, value in host.items() if p.requires_grad}


@pytest.mark.parametrize('paramwise_cfg, groups', zip(PARAMWISE, (1, 2, 4)))
def test_one_group_for_each_setting_and_each_parameter_once(model, paramwise_cfg, groups):
    optimiser = wrapper_of(model, paramwise_cfg).optimizer
    assert len(optimiser.param_groups) == groups == len(set(settings(optimiser).values()))
    listed = [p for group in optimiser.param_groups for p in group['params']]
    assert len(listed) == len(set(listed))
    assert {type(group) for group in optimiser.param_groups} == {dict}  # for torch.compile


@pytest.mark.parametrize('paramwise_cfg', PARAMWISE)
def test_no_parameter_of_the_teacher_and_no_frozen_one(model, paramwise_cfg):
    names = {p: name for name, p in model.named_parameters()}
    listed = [names[p] for p in settings(wrapper_of(model, paramwise_cfg).optimizer)]
    assert not [name for name in listed if name.startswith(('teacher', 'backbone.patch_embed'))]


class Regression(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 3)
        self.outputs = []

    def forward(self, x):
        y = self.layer(x)
        self.outputs.append(y)
        return (y.float() - 1).square().mean()


def bf16_wrapper(model, kind='BFloat16OptimWrapper', **kwargs):
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
    return OPTIM_WRAPPERS.build(dict(type=kind, optimizer=optimiser, **kwargs))


def test_layers_run_in_bfloat16_weights_and_loss_stay_float32():
    model = Regression()
    wrapper = bf16_wrapper(model)
    assert isinstance(wrapper, BFloat16OptimWrapper)
    with wrapper.optim_context(model):
        loss = model(torch.randn(5, 4))
    assert model.outputs[0].dtype == torch.bfloat16
    assert loss.dtype == torch.float32
    wrapper.update_params(loss)
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    model(torch.randn(5, 4))
    assert model.outputs[1].dtype == torch.float32  # autocast ended with the context


def test_a_training_step_can_be_compiled():
    # mmengine's runner compiles `train_step`, which is written like this.
    def train_step(model, wrapper, x):
        with wrapper.optim_context(model):
            loss = model(x)
        wrapper.update_params(loss)
        return loss

    graphs, losses = [], []

    def backend(graph, example_inputs):
        graphs.append(graph.code)
        return graph.forward

    data = torch.randn(2, 5, 4)
    model = Regression()
    for step in (train_step, torch.compile(train_step, backend=backend)):
        twin = copy.deepcopy(model)
        wrapper = wrapper_of(twin, {}, wrapper='mmpretrain.BFloat16OptimWrapper')
        losses.append([step(twin, wrapper, x).detach() for x in data])
        assert {y.dtype for y in twin.outputs} == {torch.bfloat16}
    assert any('linear' in code for code in graphs)
    torch.testing.assert_close(*losses)


def test_accumulation_is_that_of_the_host():
    torch.manual_seed(0)
    data = torch.randn(8, 5, 4).bfloat16().float()  # exact in both precisions
    models, wrappers = [Regression()], []
    with torch.no_grad():
        for p in models[0].parameters():
            p.copy_(p.bfloat16())
    models.append(copy.deepcopy(models[0]))
    for model, kind in zip(models, ('BFloat16OptimWrapper', 'OptimWrapper')):
        wrapper = bf16_wrapper(model, kind, accumulative_counts=3)
        wrapper.initialize_count_status(model, 0, len(data))
        wrappers.append(wrapper)
    moved = []
    for x in data:
        before = [model.layer.weight.detach().clone() for model in models]
        for model, wrapper in zip(models, wrappers):
            with wrapper.optim_context(model):
                loss = model(x)
            wrapper.update_params(loss)
        moved.append([not torch.equal(m.layer.weight, b) for m, b in zip(models, before)])
        torch.testing.assert_close(
            models[0].layer.weight, models[1].layer.weight, rtol=0.02, atol=0.01
        )
    # After 3, after 6, and the two left over at the end of the run.
    assert moved == [[i in (2, 5, 7)] * 2 for i in range(8)]


def test_gradients_wait_for_the_last_step_of_an_accumulation():
    entered = []

    class Distributed(Regression):
        """What DistributedDataParallel has: a context without communication."""

        def no_sync(self):
            entered.append(True)
            return torch.enable_grad()

    model = Distributed()
    wrapper = bf16_wrapper(model, accumulative_counts=2)
    for _ in range(4):
        with wrapper.optim_context(model):
            loss = model(torch.randn(2, 4))
        wrapper.update_params(loss)
        entered.append(False)
    assert entered == [True, False, False] * 2
