"""Small models with random weights, and the code of a model card run as a user runs it."""

import re

import pytest
import torch

from mmc_plugin.checkpoints import BackboneWeights
from mmc_plugin.models.backbones import PretrainedViT

SIZE, PATCH = 32, 8
KINDS = dict(
    plain=dict(),
    dinov2=dict(layer_scale_init_value=1.0),
    registers=dict(layer_scale_init_value=1.0, num_registers=3, pos_antialias=True),
    swiglu=dict(layer_scale_init_value=1.0, layer_cfgs=dict(ffn_type='swiglu_fused')),
    odd=dict(
        qkv_bias=False,
        patch_cfg=dict(bias=False),
        norm_cfg=dict(type='LN', eps=1e-3),
        layer_cfgs=dict(act_cfg=dict(type='GELU', approximate='tanh')),
    ),
)


@pytest.fixture
def make_model():
    """Makes a model as ``load_backbone`` returns it, by the name of its kind."""

    def make(kind='plain', **changes):
        settings = dict(
            arch=dict(embed_dims=64, num_layers=2, num_heads=2, feedforward_channels=96),
            img_size=SIZE,
            patch_size=PATCH,
            qkv_bias=True,
            final_norm=True,
            layer_scale_init_value=0.0,
            norm_cfg=dict(type='LN', eps=1e-6),
            patch_cfg=dict(bias=True),
            layer_cfgs={},
            num_registers=0,
        )
        settings |= KINDS[kind] | changes
        model = PretrainedViT(**settings, out_type='raw')
        generator = torch.Generator().manual_seed(0)
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            # Strong enough that each weight, and each position, is seen in the features.
            scale = 0.15 if name.endswith('.weight') and parameter.ndim > 1 else 0.5
            parameter.data = scale * noise + (1.0 if 'ln' in name and 'weight' in name else 0.0)
        model.source = BackboneWeights(
            {}, settings, (100.0, 110.0, 120.0), (50.0, 55.0, 60.0), 'made for a test',
            '/home/somebody/runs/epoch_7.pth', [])  # fmt: skip
        return model.eval()

    return make


@pytest.fixture
def features():
    """Class token and patches by the model itself."""

    def run(model, images):
        tokens = model(images)[0]
        return tokens[:, 0], tokens[:, 1:]

    return run


@pytest.fixture
def run_card(monkeypatch):
    """Runs the code of a card in its folder, on other images than its own if there are any."""

    def run(card, images=None):
        code = re.search(r'```python\n(.+?)```', card.read_text(), re.DOTALL)[1]
        monkeypatch.chdir(card.parent)
        names = {}
        if images is not None:
            code, count = re.subn(r'^images = .+$', '', code, flags=re.MULTILINE)
            assert count == 1
            names['images'] = images.numpy() if 'numpy' in code else images
        with torch.no_grad():
            exec(code, names)
        return tuple(torch.as_tensor(names[name]) for name in ('images', 'cls', 'patches'))

    return run
