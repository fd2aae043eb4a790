"""Groups of layer decay against the formula, parameter by parameter."""

import copy
import re

import pytest
import torch.nn as nn
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmpretrain.registry import MODELS, OPTIM_WRAPPER_CONSTRUCTORS

import mmc_plugin  # noqa: F401  registers
from mmc_plugin.engine.cli import ROOT
from mmc_plugin.errors import InputError

DEPTH = 3
ARCH = dict(embed_dims=16, num_layers=DEPTH, num_heads=2, feedforward_channels=32)


@pytest.fixture(scope='module')
def config():
    return Config.fromfile(ROOT / 'configs' / 'finetune' / 'vit_pets.py')


def classifier(frozen=False):
    init_default_scope('mmpretrain')
    backbone = dict(type='PretrainedViT', arch=ARCH, img_size=16, patch_size=8, out_type='raw',
                    num_registers=2, pre_norm=True, frozen=frozen)  # fmt: skip
    head = dict(type='TokenClsHead', num_classes=4)
    return MODELS.build(dict(type='ViTClassifier', backbone=backbone, head=head))


def groups(model, optim_wrapper):
    cfg = copy.deepcopy(optim_wrapper.to_dict())
    cfg.update(type='OptimWrapper')
    build = OPTIM_WRAPPER_CONSTRUCTORS.build(
        dict(
            type=cfg.pop('constructor'),
            optim_wrapper_cfg=cfg,
            paramwise_cfg=cfg.pop('paramwise_cfg', None),
        )
    )
    found = build(model).optimizer.param_groups
    return {id(p): group for group in found for p in group['params']}, found


def test_every_parameter_learns_at_the_rate_of_the_formula(config):
    model = classifier()
    by_parameter, found = groups(model, config.optim_wrapper)
    named = dict(model.named_parameters())
    assert len(by_parameter) == len(named) and any('pre_norm' in name for name in named)
    for name, parameter in named.items():
        layer = re.match(r'backbone\.layers\.(\d+)\.', name)
        if layer:
            depth = int(layer[1]) + 1
        elif name.startswith(('backbone.ln1', 'head.')):
            depth = DEPTH + 1
        else:  # patches, class token, registers, positions, the norm before the layers
            depth = 0
        group = by_parameter[id(parameter)]
        assert group['lr'] == pytest.approx(5e-4 * 0.65 ** (DEPTH + 1 - depth)), name
        token = name.endswith(('cls_token', 'pos_embed', 'registers'))
        decays = parameter.ndim > 1 and not token
        assert group['weight_decay'] == (0.05 if decays else 0.0), name
    # A group for each depth, those that decay and those that do not.
    assert len(found) == 2 * (DEPTH + 2)


def test_a_frozen_backbone_leaves_the_head(config):
    model = classifier(frozen=True)
    by_parameter, _ = groups(model, config.optim_wrapper)
    assert set(by_parameter) == {id(p) for p in model.head.parameters()}


def detector(backbone):
    """As mmdet's: parts by name, and no word on depths."""
    model = nn.Module()
    model.backbone = backbone
    model.neck = nn.Conv2d(16, 8, 1)
    return model


def test_a_detector_has_the_depths_of_its_backbone(config):
    model = detector(classifier().backbone)
    by_parameter, _ = groups(model, config.optim_wrapper)
    for name, parameter in model.named_parameters():
        layer = re.match(r'backbone\.layers\.(\d+)\.', name)
        depth = int(layer[1]) + 1 if layer else 0
        if name.startswith(('backbone.ln1', 'neck.')):
            depth = DEPTH + 1
        rate = 5e-4 * 0.65 ** (DEPTH + 1 - depth)
        assert by_parameter[id(parameter)]['lr'] == pytest.approx(rate), name


def test_a_detector_with_a_frozen_backbone_trains_the_rest(config):
    model = detector(classifier(frozen=True).backbone)
    by_parameter, _ = groups(model, config.optim_wrapper)
    assert set(by_parameter) == {id(p) for p in model.neck.parameters()}


def test_a_backbone_without_depths_is_refused(config):
    with pytest.raises(InputError, match='its backbone Conv2d do not tell'):
        groups(detector(nn.Conv2d(3, 8, 1)), config.optim_wrapper)
