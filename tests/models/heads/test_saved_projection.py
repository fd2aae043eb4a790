"""Projection heads out of checkpoints, against the heads that were saved."""

from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmpretrain.registry import MODELS
from torch import nn

from mmc_plugin.checkpoints.checkpoint import Checkpoint
from mmc_plugin.models.backbones import PretrainedViT
from mmc_plugin.models.heads.saved_projection import saved_projection

CONFIGS = Path(__file__).parents[3] / 'configs'
WIDTH = 192


def rows():
    return torch.randn(5, WIDTH, generator=torch.Generator().manual_seed(0))


def stirred(module):
    """A module whose batch norms have seen something, in evaluation mode."""
    module.train()
    with torch.no_grad():
        for _ in range(2):
            module(torch.randn(16, WIDTH))
    return module.eval()


@pytest.mark.parametrize(
    'method, name',
    [(m, 'cls_head') for m in ('mmc', 'sit')]
    + [(m, 'head') for m in ('dino', 'ibot', 'mcssl', 'msn', 'maskco')],
)
def test_of_a_run_it_is_the_teachers(method, name):
    cfg = Config.fromfile(str(CONFIGS / method / 'vitt_caltech101.py')).model
    torch.manual_seed(0)
    model = MODELS.build(cfg)
    head = stirred(getattr(model.teacher, name))
    found = saved_projection(Checkpoint('run.pth', 'torch', dict(state_dict=model.state_dict())))
    assert torch.equal(found(rows()), head(rows()))
    assert not found.training


def test_of_mocov3_of_mmpretrain_it_is_the_momentum_encoders():
    cfg = Config.fromfile(str(CONFIGS / 'mocov3' / 'vitt_caltech101.py')).model
    torch.manual_seed(0)
    model = MODELS.build(cfg)
    neck = model.momentum_encoder.module[1].train()
    with torch.no_grad():
        neck((torch.randn(16, WIDTH),))
    neck.eval()
    found = saved_projection(Checkpoint('run.pth', 'torch', dict(state_dict=model.state_dict())))
    unit = nn.functional.normalize(neck((rows(),))[0], dim=1)
    torch.testing.assert_close(found(rows()), unit)


def released_backbone(prefix):
    """A bare ViT in the names of the releases, which are timm's."""
    torch.manual_seed(0)
    arch = dict(embed_dims=WIDTH, num_layers=1, num_heads=3, feedforward_channels=4 * WIDTH)
    vit = PretrainedViT(arch=arch, img_size=32, patch_size=16, frozen=False)
    names = dict(layers='blocks', projection='proj', ln1='norm1', ln2='norm2', ffn='mlp')
    weights = {}
    for key, value in vit.state_dict().items():
        parts = [names.get(part, part) for part in key.split('.')]
        text = (
            '.'.join(parts).replace('mlp.blocks.0.0', 'mlp.fc1').replace('mlp.blocks.1', 'mlp.fc2')
        )
        weights[prefix + ('norm' + text[5:] if text.startswith('norm1.') else text)] = value
    return weights


@pytest.mark.parametrize('learned', [False, True])
def test_of_the_dino_release(learned):
    layers = nn.Sequential(
        nn.Linear(WIDTH, 64), nn.GELU(), nn.Linear(64, 64), nn.GELU(), nn.Linear(64, 32)
    )
    prototypes, lengths = torch.randn(100, 32), torch.ones(100, 1)
    if learned:
        lengths = torch.rand(100, 1) + 0.5
    teacher = released_backbone('backbone.')
    teacher |= {f'head.mlp.{key}': value for key, value in layers.state_dict().items()}
    teacher |= {'head.last_layer.weight_v': prototypes, 'head.last_layer.weight_g': lengths}
    found = saved_projection(Checkpoint('dino.pth', 'torch', dict(teacher=teacher)))
    embedded = nn.functional.normalize(layers(rows()), dim=1)
    unit = prototypes / prototypes.norm(dim=1, keepdim=True)
    torch.testing.assert_close(found(rows()), embedded @ (unit * lengths).t())


def test_of_the_mocov3_release():
    head = nn.Sequential(
        nn.Linear(WIDTH, 64, bias=False), nn.BatchNorm1d(64), nn.ReLU(),
        nn.Linear(64, 64, bias=False), nn.BatchNorm1d(64), nn.ReLU(),
        nn.Linear(64, 32, bias=False), nn.BatchNorm1d(32, affine=False),
    )  # fmt: skip
    stirred(head)
    prefix = 'module.momentum_encoder.'
    weights = released_backbone(prefix)
    weights |= {f'{prefix}head.{key}': value for key, value in head.state_dict().items()}
    found = saved_projection(Checkpoint('moco.pth', 'torch', dict(state_dict=weights)))
    torch.testing.assert_close(found(rows()), nn.functional.normalize(head(rows()), dim=1))


def test_a_classifier_is_none_and_so_is_nothing():
    weights = released_backbone('')
    assert saved_projection(Checkpoint('vit.pth', 'torch', weights)) is None
    weights |= {'head.weight': torch.zeros(10, WIDTH), 'head.bias': torch.zeros(10)}
    assert saved_projection(Checkpoint('vit.pth', 'torch', weights)) is None
