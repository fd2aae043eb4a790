"""Names of mmpretrain and those of the libraries and releases, both ways."""

import pytest
import torch

from mmc_plugin.checkpoints.names import from_mmpretrain, to_mmpretrain
from mmc_plugin.models import PretrainedViT


@pytest.mark.parametrize(('layout', 'name', 'expected'), [
    ('timm', 'blocks.11.attn.qkv.bias', 'layers.11.attn.qkv.bias'),
    ('timm', 'blocks.1.11.ls2.gamma', 'layers.11.ffn.gamma2.weight'),
    ('timm', 'blocks.0.mlp.w3.weight', 'layers.0.ffn.w3.weight'),
    ('timm', 'norm.bias', 'ln1.bias'),
    ('timm', 'register_tokens', 'registers'),
    ('huggingface', 'encoder.layer.2.layernorm_after.weight', 'layers.2.ln2.weight'),
    ('huggingface', 'encoder.layer.2.output.dense.bias', 'layers.2.ffn.layers.1.bias'),
    ('huggingface', 'layers.2.attention.o_proj.bias', 'layers.2.attn.proj.bias'),
    ('huggingface', 'encoder.layer.2.layer_scale1.lambda1', 'layers.2.attn.gamma1.weight'),
    ('mmpretrain', 'layers.3.ffn.layers.0.0.bias', 'layers.3.ffn.layers.0.0.bias'),
])  # fmt: skip
def test_names(layout, name, expected):
    value = torch.ones(2)
    renamed, dropped, unknown = to_mmpretrain({name: value}, layout)
    assert list(renamed) == [expected] and renamed[expected] is value
    assert dropped == unknown == []


@pytest.mark.parametrize('kind', ['plain', 'LayerScale', 'SwiGLU'])
@pytest.mark.parametrize('library', ['timm', 'vit', 'dinov2'])
def test_there_and_back(library, kind):
    if library == 'vit' and kind != 'plain':
        for name in ('layers.0.attn.gamma1.weight', 'layers.0.ffn.w3.bias', 'registers'):
            with pytest.raises(KeyError, match=name):  # it has no place for these
                from_mmpretrain({name: torch.ones(1)}, library)
        return
    weights = model_of(kind).state_dict()
    if library == 'vit':
        weights.pop('registers')
    renamed = from_mmpretrain(weights, library)
    layout = 'timm' if library == 'timm' else 'huggingface'
    back, dropped, unknown = to_mmpretrain(renamed, layout)
    assert not dropped and not unknown and set(back) == set(weights)
    assert all(torch.equal(back[name], value) for name, value in weights.items())
    again, dropped, unknown = to_mmpretrain(weights, 'mmpretrain')
    assert not dropped and not unknown and again == weights


def model_of(kind):
    """Random numbers in every weight that a model of two layers can have."""
    arch = dict(embed_dims=16, num_layers=2, num_heads=2, feedforward_channels=48)
    options = dict(
        plain={}, LayerScale=dict(layer_scale_init_value=1.0),
        SwiGLU=dict(layer_scale_init_value=1.0, layer_cfgs=dict(ffn_type='swiglu_fused')),
    )[kind]  # fmt: skip
    model = PretrainedViT(arch=arch, img_size=16, patch_size=8, num_registers=2, **options)
    for parameter in model.parameters():
        parameter.data = torch.randn_like(parameter)
    return model


def test_query_key_and_value_keep_their_order():
    for names in (('query', 'key', 'value'), ('value', 'key', 'query')):
        layer = 'encoder.layer.0.attention.attention'
        weights = {f'{layer}.{name}.weight': torch.full((1, 1), len(name)) for name in names}
        renamed, _, unknown = to_mmpretrain(weights, 'huggingface')
        assert renamed['layers.0.attn.qkv.weight'].flatten().tolist() == [5, 3, 5] and not unknown
        weights[f'{layer}.query.weight'].fill_(1)
        renamed, _, _ = to_mmpretrain(weights, 'huggingface')
        assert renamed['layers.0.attn.qkv.weight'].flatten().tolist() == [1, 3, 5]


@pytest.mark.parametrize('name', [
    'head.weight', 'head.mlp.0.weight', 'fc.fc1.bias', 'fc_norm.weight', 'mask_token',
    'masked_embed', 'decoder_blocks.0.norm1.bias', 'decoder_pos_embed', 'pooler.dense.weight',
    'predictor.0.weight', 'projector.2.bias', 'classifier.bias', 'pre_logits.fc.weight',
])  # fmt: skip
def test_what_is_dropped(name):
    assert to_mmpretrain({name: torch.ones(1)}, 'timm') == ({}, [name], [])


@pytest.mark.parametrize('name', [
    'headway', 'norm_pre.weight', 'blocks.0.gamma_1', 'blocks.0.attn.q_norm.weight', 'dist_token',
    'blocks.0.attn.rel_pos_h', 'rope.freqs', 'layers.0.ln1.weight', 'blocks.0.ls1.weight',
])  # fmt: skip
def test_what_is_unknown(name):
    assert to_mmpretrain({name: torch.ones(1)}, 'timm') == ({}, [], [name])


def test_packed_swiglu_is_told_by_its_shapes():
    names = ('blocks.0.mlp.fc1.weight', 'blocks.0.mlp.fc1.bias', 'blocks.0.mlp.fc2.weight')
    packed = dict(zip(names, (torch.ones(16, 4), torch.ones(16), torch.ones(4, 8))))
    assert set(to_mmpretrain(packed, 'timm')[0]) == {
        'layers.0.ffn.w12.weight',
        'layers.0.ffn.w12.bias',
        'layers.0.ffn.w3.weight',
    }
    plain = dict(zip(names, (torch.ones(8, 4), torch.ones(8), torch.ones(4, 8))))
    assert 'layers.0.ffn.layers.0.0.weight' in to_mmpretrain(plain, 'timm')[0]
