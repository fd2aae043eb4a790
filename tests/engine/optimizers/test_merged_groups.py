"""Equal parameter groups are one, and hold what those of the host hold."""

import copy

import pytest
from mmengine.config import ConfigDict
from mmengine.optim import OptimWrapper, build_optim_wrapper
from mmpretrain.registry import MODELS, OPTIM_WRAPPER_CONSTRUCTORS

import mmc_plugin  # noqa: F401  registers the parts

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


@pytest.mark.parametrize('kind', ['OptimWrapper', OptimWrapper, 'mmpretrain.BFloat16OptimWrapper'])
def test_auto_goes_with_the_wrapper_that_knows_it(model, kind):
    """A config says precision='auto', and --cfg-options optim_wrapper.type=OptimWrapper."""
    cfg = dict(
        precision='auto', constructor=f'mmpretrain.{MERGED}', optimizer=dict(type='SGD', lr=0.1)
    )
    assert type(build_optim_wrapper(model, dict(cfg, type=kind))).__name__ in str(kind)
    with pytest.raises(TypeError, match='precision'):
        build_optim_wrapper(model, dict(cfg, type=kind, precision='fp32'))
    wrapper = build_optim_wrapper(
        model, dict(cfg, type='mmpretrain.AutoPrecisionOptimWrapper', precision='fp32')
    )
    assert wrapper.precision == 'fp32'
    wrapper = build_optim_wrapper(model, dict(cfg, type='mmpretrain.AutoPrecisionOptimWrapper'))
    assert not wrapper.forced
