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


@pytest.mark.parametrize('which', ['teacher', 'student'])
@pytest.mark.parametrize(
    'method, name',
    [(m, 'cls_head') for m in ('mmc', 'sit')]
    + [(m, 'head') for m in ('dino', 'ibot', 'mcssl', 'msn', 'maskco')],
)
def test_of_a_run_it_is_that_of_the_network(method, name, which):
    cfg = Config.fromfile(str(CONFIGS / method / 'vitt_caltech101.py')).model
    torch.manual_seed(0)
    model = MODELS.build(cfg)
    heads = {
        'teacher': stirred(getattr(model.teacher, name)), 'student': stirred(getattr(model, name))
    }  # fmt: skip
    with torch.no_grad():
        for value in heads['student'].parameters():
            value.mul_(1.5)
    head = heads[which]
    checkpoint = Checkpoint('run.pth', 'torch', dict(state_dict=model.state_dict()))
    found = saved_projection(checkpoint, which)
    assert torch.equal(found(rows()), head(rows()))
    assert not found.training


def test_the_activations_are_those_of_the_runs_config():
    """The recipe of SiT has ReLU, then GELU."""
    cfg = Config.fromfile(str(CONFIGS / 'sit' / 'vits_in1k_800e.py'))
    head = cfg.model.cls_head
    assert [each.type for each in head.act_cfg] == ['ReLU', 'GELU']
    head.update(in_channels=WIDTH, hidden_channels=64, out_channels=32)
    torch.manual_seed(0)
    head = stirred(MODELS.build(head))
    weights = {f'backbone.{key}': value for key, value in released_backbone('').items()}
    weights |= {f'cls_head.{key}': value for key, value in head.state_dict().items()}
    told = dict(cfg=f'model = {cfg.model.to_dict()!r}')
    found = saved_projection(Checkpoint('run.pth', 'torch', dict(state_dict=weights), told))
    assert torch.equal(found(rows()), head(rows()))


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
