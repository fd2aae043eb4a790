"""Which network is taken out of a file, what is said of it, and what is refused."""

import os
from threading import Event

import pytest
import torch
from safetensors.torch import save_file

from mmc_plugin.checkpoints import Checkpoint, backbone, read_backbone
from mmc_plugin.models import PretrainedViT

WIDTH, DEPTH = 128, 2


def own_names(value=0.0, width=WIDTH, depth=DEPTH, patch=8, side=3):
    """A vision transformer in mmpretrain's names, made by mmpretrain's model."""
    arch = dict(embed_dims=width, num_layers=depth, num_heads=2, feedforward_channels=2 * width)
    model = PretrainedViT(arch=arch, img_size=side * patch, patch_size=patch)
    return {name: torch.full_like(tensor, value) for name, tensor in model.state_dict().items()}


def timm_names(value=0.0, width=WIDTH, depth=DEPTH):
    vector, square = torch.full((width,), value), torch.full((width, width), value)
    state = {
        'cls_token': torch.full((1, 1, width), value),
        'pos_embed': torch.full((1, 10, width), value),
        'patch_embed.proj.weight': torch.full((width, 3, 8, 8), value),
        'patch_embed.proj.bias': vector, 'norm.weight': vector, 'norm.bias': vector,
    }  # fmt: skip
    for layer in range(depth):
        state |= {f'blocks.{layer}.{name}': vector for name in (
            'norm1.weight', 'norm1.bias', 'norm2.weight', 'norm2.bias', 'attn.proj.bias',
            'mlp.fc1.bias', 'mlp.fc2.bias')}  # fmt: skip
        state |= {f'blocks.{layer}.{name}.weight': square for name in (
            'attn.proj', 'mlp.fc1', 'mlp.fc2')}  # fmt: skip
        state[f'blocks.{layer}.attn.qkv.weight'] = square.repeat(3, 1)
        state[f'blocks.{layer}.attn.qkv.bias'] = vector.repeat(3)
    return state


def prefixed(prefix, state):
    return {prefix + name: value for name, value in state.items()}


RUN = """
base = [1, 2]
data_preprocessor = dict(mean=[1.0, 2.0, 3.0], std=[4.0, 5.0, 6.0], to_rgb=True)
model = dict(
    backbone=dict(
        arch=dict(embed_dims=128, feedforward_channels=256, num_heads=8, num_layers=2),
        img_size=24, patch_size=8, norm_cfg=dict(type='LN', eps=1e-05),
        out_type='raw', type='VisionTransformer'),
    type='MMC')
evil = __import__('os').system('touch {marker}')
"""


def test_run_of_this_package(tmp_path):
    state = prefixed('backbone.', own_names(1.0)) | prefixed('teacher.backbone.', own_names(2.0))
    state |= {'rec_head.layers.0.weight': torch.ones(2, 2)}
    marker = tmp_path / 'marker'
    content = dict(
        meta=dict(cfg=RUN.replace('{marker}', str(marker)), epoch=1, iter=2),
        state_dict=state,
        optimizer=dict(state={0: dict(exp_avg=torch.ones(2))}, param_groups=[]),
    )
    torch.save(content, tmp_path / 'epoch_1.pth')
    teacher = read_backbone(str(tmp_path / 'epoch_1.pth'))
    student = read_backbone(tmp_path / 'epoch_1.pth', which='student')
    assert teacher.format == 'MMC run (teacher)' and student.format == 'MMC run (student)'
    assert set(teacher.state_dict) == set(own_names())
    assert all((value == 2).all() for value in teacher.state_dict.values())
    assert all((value == 1).all() for value in student.state_dict.values())
    assert teacher.settings['arch']['num_heads'] == 8
    assert teacher.settings['norm_cfg'] == dict(type='LN', eps=1e-5)
    assert teacher.mean == (1, 2, 3) and teacher.std == (4, 5, 6)
    assert 'state_dict.rec_head.layers.0.weight' in teacher.dropped
    assert 'state_dict.backbone.cls_token' in teacher.dropped
    assert not marker.exists() and os.listdir(tmp_path) == ['epoch_1.pth']


@pytest.mark.parametrize(
    'prefix', ['', 'backbone.', 'model.', 'module.', 'module.backbone.', '_orig_mod.encoder.']
)
@pytest.mark.parametrize('names', [own_names, timm_names])
def test_any_prefix(prefix, names):
    found = read_backbone(prefixed(prefix, names(3.0)))
    assert set(found.state_dict) == set(own_names())
    assert found.settings == read_backbone(own_names()).settings | dict(arch=found.settings['arch'])


def test_checkpoint_of_mmpretrain_classifier():
    state = prefixed('backbone.', own_names(1.0)) | {'head.layers.head.weight': torch.ones(2, 2)}
    state['backbone.ln2.weight'] = torch.ones(WIDTH)  # of out_type='avg_featmap'
    found = read_backbone(dict(state_dict=state, meta=dict(epoch=1)))
    assert found.format == 'mmpretrain'
    assert sorted(found.dropped) == [
        'state_dict.backbone.ln2.weight',
        'state_dict.head.layers.head.weight',
    ]


def test_moving_averages_are_the_teacher():
    for average in ('ema_state_dict', 'state_dict_ema', 'model_ema', 'target_encoder', 'teacher'):
        content = {'state_dict': own_names(1.0), average: prefixed('module.', own_names(2.0))}
        assert read_backbone(content).state_dict['cls_token'].unique() == 2
        assert read_backbone(content, which='student').state_dict['cls_token'].unique() == 1


def test_moco_of_mmpretrain_has_twelve_heads():
    state = own_names(width=384)
    content = prefixed('backbone.', state) | prefixed('momentum_encoder.module.0.', state)
    for which in ('teacher', 'student'):
        assert read_backbone(content, which=which).settings['arch']['num_heads'] == 12
    assert read_backbone(state).settings['arch']['num_heads'] == 6


def test_only_the_other_network():
    with pytest.raises(ValueError, match="has no student, only a teacher: ask for which='teacher'"):
        read_backbone({'teacher': own_names()}, which='student')
    with pytest.raises(ValueError, match="has no teacher, only a student: ask for which='student'"):
        read_backbone({'student': own_names()})
    with pytest.raises(ValueError, match="must be 'teacher' or 'student', got 'mentor'"):
        read_backbone(own_names(), which='mentor')


def test_several_networks():
    content = {'model': prefixed('left.', own_names()) | prefixed('right.', own_names())}
    with pytest.raises(ValueError, match="several vision transformers, at 'model.left.', 'model.r"):
        read_backbone(content)


@pytest.mark.parametrize(
    ('width', 'depth', 'heads'),
    [(192, 1, 3), (384, 1, 6), (768, 1, 12), (768, 8, 8), (1280, 32, 16), (1280, 2, 20)],
)
def test_heads_without_information(width, depth, heads):
    state = {name: value[..., :1].expand(*value.shape) for name, value in timm_names().items()}
    small = timm_names(width=8, depth=depth)
    state = {name: _widened(value, width) for name, value in small.items()}
    assert read_backbone(state).settings['arch']['num_heads'] == heads


def _widened(value, width):
    """The same tensor with 8 channels become ``width``, without memory for them."""
    shape = [width if size == 8 else 3 * width if size == 24 else size for size in value.shape]
    if value.ndim == 4:
        shape[2:] = 8, 8
    return torch.zeros(1, dtype=torch.half).expand(shape)


def test_heads_that_must_be_said():
    odd = timm_names(width=80)
    with pytest.raises(ValueError, match='width 80 is no multiple of 64: say it with num_heads='):
        read_backbone(odd)
    assert read_backbone(odd, num_heads=5).settings['arch']['num_heads'] == 5
    with pytest.raises(ValueError, match='width 80, which 3 attention heads do not divide'):
        read_backbone(odd, num_heads=3)
    config = dict(model_type='vit', hidden_size=128, num_attention_heads=4)
    said = Checkpoint('folder', 'huggingface', timm_names(), config)
    assert read_backbone(said).settings['arch']['num_heads'] == 4
    assert read_backbone(said, num_heads=4).settings['arch']['num_heads'] == 4
    with pytest.raises(ValueError, match='folder says that it has 4 attention heads, not 2'):
        read_backbone(said, num_heads=2)


def refused(state, *sentences):
    for sentence in sentences:
        with pytest.raises(ValueError, match=sentence):
            read_backbone(state)


def test_resnet(tmp_path):
    torch.save(
        {'conv1.weight': torch.ones(1), 'layer1.0.conv1.weight': torch.ones(1)},
        tmp_path / 'resnet50.pth',
    )
    with pytest.raises(ValueError, match='resnet50.pth holds a ResNet, not a vision transformer'):
        read_backbone(tmp_path / 'resnet50.pth')


def test_files_without_a_network():
    optimizer = dict(state={0: dict(exp_avg=torch.ones(2))}, param_groups=[dict(lr=0.1)])
    sentence = 'holds the state of an optimiser and no weights of a model'
    refused(optimizer, sentence)
    refused(dict(optimizer=optimizer, epoch=3), sentence)
    refused(dict(epoch=3), 'holds no weights')
    refused({'encoder.weight': torch.ones(2)}, 'no patch embedding among its 1 tensors, such as e')
    stem = {'patch_embed.proj.0.weight': torch.ones(2, 3, 3, 3)}
    refused(stem, 'a stem of convolutions')


def test_networks_of_other_kinds():
    state = timm_names()
    refused(
        {k: v for k, v in state.items() if k != 'pos_embed'},
        'no position embedding: models with rotary or relative positions',
    )
    refused({k: v for k, v in state.items() if k != 'cls_token'}, 'has no class token')
    refused(state | {'dist_token': state['cls_token']}, 'nothing is known of: dist_token$')
    refused(state | {'norm_pre.weight': torch.ones(2)}, 'nothing is known of: norm_pre.weight$')
    refused({name: value.to(torch.int8) for name, value in state.items()}, 'quantised')
    refused(
        Checkpoint('x', 'timm', state, dict(architecture='vit_base_patch16_rope_ape_224')),
        'x is vit_base_patch16_rope_ape_224, whose positions are rotary',
    )
    refused(Checkpoint('x', 'huggingface', state, dict(model_type='swin')), 'x is a model of type')
    refused(
        Checkpoint('x', 'huggingface', state, dict(model_type='vit', hidden_act='quick_gelu')),
        'x has the activation quick_gelu',
    )


def test_other_channels_than_rgb():
    state = timm_names()
    assert 'in_channels' not in read_backbone(state).settings
    found = read_backbone(state | {'patch_embed.proj.weight': torch.ones(WIDTH, 4, 8, 8)})
    assert found.settings['in_channels'] == 4 and ', 4 channels' in str(found)
    assert found.mean == found.std == (127.5,) * 4  # it does not say


def test_missing_unknown_and_wrong_weights():
    state = timm_names()
    missing = {name: value for name, value in state.items() if not name.startswith('blocks.1.mlp')}
    refused(missing, 'not hold a whole model.*missing: layers.1.ffn.layers.0.0.weight, layers.1.f')
    refused(
        {name: value for name, value in state.items() if 'norm.bias' not in name},
        'missing: ln1.bias$',
    )
    wrong = state | {'blocks.1.attn.proj.weight': torch.ones(2, WIDTH)}
    refused(wrong, r'of the wrong shape: layers.1.attn.proj.weight \(2, 128\) for \(128, 128\)')
    refused(
        state | {f'adapter.{i}.weight': torch.ones(1) for i in range(14)},
        'known of: adapter.0.weight, .*adapter.9.weight and 4 more$',
    )
    refused(state | {'pos_embed': torch.ones(1, 8, WIDTH)}, '8 positions, which are no square')
    refused(state | {'pos_embed': torch.ones(10, WIDTH)}, 'pos_embed of the shape')
    refused({name: value for name, value in state.items() if 'blocks' not in name}, 'no layers')


def test_parts_of_queries_keys_and_values():
    """A key bias that is missing must not let those of query and value be forgotten."""
    square, vector = torch.ones(64, 64), torch.ones(64)
    state = {
        'embeddings.cls_token': torch.ones(1, 1, 64),
        'embeddings.position_embeddings': torch.ones(1, 5, 64),
        'embeddings.patch_embeddings.projection.weight': torch.ones(64, 3, 8, 8),
        'embeddings.patch_embeddings.projection.bias': vector,
    }
    for name in (
        'attention.q_proj',
        'attention.k_proj',
        'attention.v_proj',
        'attention.o_proj',
        'mlp.fc1',
        'mlp.fc2',
    ):
        state |= {f'layers.0.{name}.weight': square, f'layers.0.{name}.bias': vector}
    for name in ('layers.0.layernorm_before', 'layers.0.layernorm_after', 'layernorm'):
        state |= {f'{name}.weight': vector, f'{name}.bias': vector}
    assert read_backbone(state).settings['qkv_bias']
    del state['layers.0.attention.k_proj.bias']
    refused(state, r'layers.0.attention.q_proj.bias without its fellows, layers.0.attention.v_proj')


def test_a_model_without_final_norm():
    """MAE finetuned with average pooling has a norm after the pooling instead."""
    state = {name: value for name, value in timm_names().items() if not name.startswith('norm.')}
    found = read_backbone({'model': state | {'fc_norm.weight': torch.ones(WIDTH)}})
    assert not found.settings['final_norm'] and found.dropped == ['model.fc_norm.weight']


def with_config(form, state, config, folder):
    """A file whose configuration is what its maker wanted it to be."""
    path = folder / f'evil.{form}'
    if form == 'safetensors':
        save_file({name: value.clone() for name, value in state.items()}, path, dict(cfg=config))
    else:
        torch.save(dict(state_dict=state, meta=dict(cfg=config)), path)
    return str(path)


@pytest.mark.parametrize('form', ['safetensors', 'pth'])
@pytest.mark.parametrize('name', ['os.system', 'subprocess.getoutput', 'torch.nn.GELU', 'SiLU'])
def test_a_configuration_names_no_code(form, name, tmp_path):
    """mmengine's registries import and call any name that they are given."""
    marker = tmp_path / 'ran'
    act = f"dict(type='{name}', command='touch {marker}', cmd='touch {marker}')"
    config = f'model = dict(backbone=dict(layer_cfgs=dict(act_cfg={act})))'
    path = with_config(form, timm_names(), config, tmp_path)
    with pytest.raises(ValueError, match='activation is .*, which is not read'):
        PretrainedViT(arch='auto', checkpoint=path)
    assert not marker.exists()


@pytest.mark.parametrize(
    'config, words',
    [
        ("model = dict(backbone=dict(arch=dict(num_heads='2')))", "'2' attention heads"),
        ('model = dict(backbone=dict(arch=dict(num_heads=-2)))', '-2 attention heads'),
        ("model = dict(backbone=dict(norm_cfg=dict(eps='x')))", "eps of its norms is 'x'"),
    ],
)
def test_claims_of_the_wrong_kind_are_refused(config, words):
    with pytest.raises(ValueError, match=words):
        read_backbone(dict(state_dict=timm_names(), meta=dict(cfg=config)))


@pytest.mark.parametrize(
    'config',
    [
        "model = dict(backbone=['a'])",
        "model = dict(backbone=dict(arch=['a'], norm_cfg='LN'))",
        "model = 'MMC'",
        "data_preprocessor = dict(mean=['a', 2, 3], std=7)",
    ],
)
def test_claims_without_sense_are_passed_over(config):
    weights = read_backbone(dict(state_dict=timm_names(), meta=dict(cfg=config)))
    assert weights.settings['arch']['num_heads'] == 2 and weights.mean[0] == 123.675


def test_names_and_shapes_that_claim_too_much_are_refused():
    far = timm_names() | {'blocks.1000000000.norm1.weight': torch.zeros(WIDTH)}
    with pytest.raises(ValueError, match='3 layers, counted up to 1000000000'):
        read_backbone(far)
    for value in (torch.zeros(1, 10, WIDTH).to_sparse(), torch.zeros(1, 10, WIDTH, device='meta')):
        with pytest.raises(ValueError, match='without content or sparse'):
            read_backbone(timm_names() | dict(pos_embed=value))
    empty = {'patch_embed.proj.weight': torch.zeros(WIDTH, 3, 0, 0)}
    with pytest.raises(ValueError, match='patches of 0×0'):
        read_backbone(timm_names() | empty)


def test_one_number_that_stands_for_many_is_refused(tmp_path):
    pos_embed = torch.zeros(1, 1, 1).expand(1, 1 + 200_000**2, WIDTH)
    torch.save(timm_names() | dict(pos_embed=pos_embed), tmp_path / 'a.pth')
    with pytest.raises(ValueError, match='damaged'):
        read_backbone(str(tmp_path / 'a.pth'))


def test_an_explicit_architecture_is_compared_with_the_file(tmp_path):
    config = "model = dict(backbone=dict(layer_cfgs=dict(act_cfg=dict(type='ReLU'))))"
    path = with_config('pth', own_names(1.0), config, tmp_path)
    arch = dict(embed_dims=WIDTH, num_layers=DEPTH, num_heads=2, feedforward_channels=2 * WIDTH)
    settings = dict(arch=arch, img_size=24, patch_size=8, checkpoint=path)
    with pytest.raises(ValueError, match=r"activation \{'type': 'ReLU'\} and the backbone"):
        PretrainedViT(**settings).init_weights()
    model = PretrainedViT(**settings, layer_cfgs=dict(act_cfg=dict(type='ReLU')))
    model.init_weights()
    assert bool((model.pos_embed == 1).all())


def test_weights_that_are_not_finite_are_said(monkeypatch):
    """Among finite ones whose sum overflows; it is a warning, for the others may be of use."""
    said = []
    monkeypatch.setattr(backbone, 'print_log', lambda text, *rest, **more: said.append(text))
    state = own_names(1.0)
    state['layers.0.attn.proj.weight'].fill_(3e38)
    read_backbone(state)
    assert not said
    state['layers.1.attn.proj.weight'][3, 4] = float('nan')
    state['pos_embed'][0, 0, 0] = -float('inf')
    read_backbone(state)
    (line,) = said
    assert '2 of ' in line and 'hold NaN or infinity' in line
    assert 'pos_embed, layers.1.attn.proj.weight' in line


def test_weights_are_searched_while_the_model_is_made(monkeypatch):
    """The search ends after what is inside has begun; the warning comes on leaving."""
    inside, said = Event(), []
    monkeypatch.setattr(backbone, 'print_log', lambda text, *rest, **more: said.append(text))
    search = backbone.not_finite
    monkeypatch.setattr(
        backbone, 'not_finite', lambda weights: search(weights) if inside.wait(60) else ['waited']
    )
    state = own_names(1.0)
    state['pos_embed'][0, 0, 0] = float('nan')
    with backbone.backbone_read(state) as weights:
        assert weights.state_dict['pos_embed'].isnan().any() and not said
        inside.set()
    (line,) = said
    assert '1 of ' in line and 'waited' not in line
