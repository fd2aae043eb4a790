"""The registered backbone: in configs, frozen, at any size."""

import math

import pytest
import torch
from mmengine.optim import build_optim_wrapper
from mmpretrain.models.backbones import VisionTransformer
from mmpretrain.registry import MODELS

from mmc_plugin.models.backbones.pretrained_vit import PretrainedViT, resize_positions

ARCH = dict(embed_dims=64, num_layers=3, num_heads=2, feedforward_channels=128)
SMALL = dict(arch=ARCH, img_size=32, patch_size=8)


def randomise(model, seed=0):
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for value in model.parameters():
            value.copy_(torch.randn(value.shape, generator=generator) * 0.2)
    model.eval()
    return model


@pytest.fixture
def original():
    return randomise(VisionTransformer(**SMALL, out_type='raw', out_indices=[0, 1, 2]))


@pytest.fixture
def checkpoint(original, tmp_path):
    path = str(tmp_path / 'backbone.pth')
    torch.save(original.state_dict(), path)
    return path


def images(height=32, width=32):
    return torch.randn(2, 3, height, width, generator=torch.Generator().manual_seed(3))


def test_the_last_layer_without_its_norm(original, checkpoint):
    model = PretrainedViT(checkpoint=checkpoint, num_heads=2, out_type='raw', out_indices=(1, 2),
                          norm_last=False)  # fmt: skip
    seen = []
    original.layers[2].register_forward_hook(lambda module, inputs, output: seen.append(output))
    (_, middle, last), found = original(images()), model(images())
    torch.testing.assert_close(found[0], middle.detach())
    torch.testing.assert_close(found[1], seen[0].detach())
    assert (found[1] - last).abs().max() > 0.1 and torch.equal(
        model.ln1.weight, original.ln1.weight
    )


@pytest.mark.parametrize('size', [(32, 32), (40, 24), (64, 80)])
@pytest.mark.parametrize('out_type', ['raw', 'cls_token', 'featmap'])
def test_equals_the_backbone_of_mmpretrain(original, checkpoint, out_type, size):
    model = MODELS.build(
        dict(
            type='PretrainedViT',
            checkpoint=checkpoint,
            num_heads=2,
            out_type=out_type,
            out_indices=(0, -2, -1),
        )
    )
    original.out_type = out_type
    found, expected = model(images(*size)), original(images(*size))
    assert len(found) == len(expected) == 3
    for one, other in zip(found, expected):
        torch.testing.assert_close(one, other.detach())
    if out_type == 'featmap':
        assert found[0].shape == (2, 64, size[0] // 8, size[1] // 8)


def test_frozen(checkpoint):
    model = PretrainedViT(checkpoint=checkpoint, num_heads=2, drop_path_rate=0.5)
    model.train()
    assert not any(module.training for module in model.modules())
    assert model.train() is model and model.eval() is model
    x = images().requires_grad_()
    assert not model(x)[0].requires_grad
    trained = PretrainedViT(checkpoint=checkpoint, num_heads=2, frozen=False).train()
    assert trained.training and trained(x)[0].requires_grad
    assert all(value.requires_grad for value in trained.parameters())


def test_explicit_architecture_needs_no_file_until_training(checkpoint):
    model = PretrainedViT(**SMALL, checkpoint='nowhere.pth', out_type='raw')
    model(images())
    with pytest.raises(FileNotFoundError, match='nowhere.pth'):
        model.init_weights()


def test_weights_are_read_in_place(original, checkpoint):
    """The optimiser is built before the weights are initialised, and must see them."""
    model = PretrainedViT(**SMALL, checkpoint=checkpoint, frozen=False)
    optimizer = build_optim_wrapper(model, dict(optimizer=dict(type='SGD', lr=0.1)))
    model.init_weights()
    for name, value in model.state_dict().items():
        torch.testing.assert_close(value, original.state_dict()[name])
    held = {id(p) for group in optimizer.optimizer.param_groups for p in group['params']}
    assert held == {id(value) for value in model.parameters()}


def test_positions_are_resized_on_load(original, checkpoint):
    settings = SMALL | dict(img_size=(48, 64))
    model = PretrainedViT(**settings, checkpoint=checkpoint, out_type='raw', out_indices=[0, 1, 2])
    model.init_weights()
    assert model.pos_embed.shape == (1, 1 + 6 * 8, 64)
    x = images(48, 64)
    for one, other in zip(model(x), original(x)):
        torch.testing.assert_close(one, other.detach())


def test_resizing_keeps_a_plane_and_the_class_token():
    """With antialiasing the kernel keeps what is linear in rows and columns, but at the edges."""
    rows, columns = torch.meshgrid(torch.arange(8.0), torch.arange(6.0), indexing='ij')
    plane = (2 * rows - 3 * columns).flatten()[None, :, None]
    positions = torch.cat([torch.full((1, 1, 1), 7.0), plane], dim=1)
    resized = resize_positions(positions, (8, 6), (16, 12), antialias=True)
    assert resized[0, 0, 0] == 7
    new_rows, new_columns = torch.meshgrid(
        torch.arange(16) / 2 - 0.25, torch.arange(12) / 2 - 0.25, indexing='ij'
    )
    expected = (2 * new_rows - 3 * new_columns)[4:-4, 4:-4]
    torch.testing.assert_close(resized[0, 1:, 0].view(16, 12)[4:-4, 4:-4], expected)
    plain = resize_positions(positions, (8, 6), (16, 12))[0, 1:, 0].view(16, 12)
    assert (plain[4:-4, 4:-4] - expected).abs().max() > 0.1  # the other kernel
    assert resize_positions(positions, (8, 6), [8, 6]) is positions


@pytest.mark.parametrize(('change', 'sentence'), [
    (dict(arch=ARCH | dict(num_layers=4)), r'3 layers.*missing: layers.3.ln1.weight.* and 2 more'),
    (dict(arch=ARCH | dict(num_layers=2)), r'unexpected: layers.2.ln1.weight'),
    (dict(patch_size=16), r'patch 8×8.*shape: patch_embed.projection.weight \(64, 3, 8, 8\) for'),
    (dict(arch=ARCH | dict(embed_dims=32)), r'width 64.*of the wrong shape: cls_token'),
    (dict(num_registers=2), r'missing: registers'),
    (dict(layer_scale_init_value=0.1), r'missing: layers.0.attn.gamma1.weight'),
    (dict(qkv_bias=False), r'unexpected: layers.0.attn.qkv.bias'),
    (dict(final_norm=False), r'unexpected: ln1.weight, ln1.bias'),
])  # fmt: skip
def test_misfits(checkpoint, change, sentence):
    model = PretrainedViT(**SMALL | change, checkpoint=checkpoint)
    with pytest.raises(ValueError, match='does not fit the checkpoint.*' + sentence) as error:
        model.init_weights()
    assert checkpoint in str(error.value)


def test_heads_that_the_file_contradicts(original, tmp_path):
    """The number of heads shows in no shape."""
    cfg = 'model = dict(backbone=dict(arch=dict(num_heads=4)))'
    content = dict(state_dict=original.state_dict(), meta=dict(cfg=cfg))
    torch.save(content, tmp_path / 'run.pth')
    model = PretrainedViT(**SMALL, checkpoint=str(tmp_path / 'run.pth'))
    with pytest.raises(ValueError, match='says that it has 4 attention heads, not 2'):
        model.init_weights()


@pytest.mark.parametrize(('settings', 'sentence'), [
    (dict(SMALL, out_indices=[1, 3]), 'asks for layer 3, but the backbone has 3, 0 to 2'),
    (dict(SMALL, out_indices=-4), 'asks for layer -4'),
    (dict(SMALL, arch='tiny'), "arch must be 'auto', a dict or one of b, base.*got 'tiny'"),
    (dict(), "needs a checkpoint with arch='auto'"),
    (dict(SMALL, out_type='avg_featmap'), 'Unsupported `out_type` avg_featmap'),
])  # fmt: skip
def test_bad_settings(settings, sentence):
    with pytest.raises(ValueError, match=sentence):
        PretrainedViT(**settings)


def test_sizes_that_the_patch_size_does_not_divide():
    with pytest.raises(ValueError, match='images of 30×32 pixels cannot be cut into patches of 8'):
        PretrainedViT(**SMALL)(images(30, 32))


def test_registers_influence_and_leave():
    plain = randomise(PretrainedViT(**SMALL, out_type='raw'))
    model = randomise(PretrainedViT(**SMALL, out_type='raw', num_registers=2), seed=1)
    missing = model.load_state_dict(plain.state_dict(), strict=False).missing_keys
    assert missing == ['registers']
    tokens, others = model(images())[0], plain(images())[0]
    assert tokens.shape == others.shape == (2, 17, 64)
    assert (tokens - others).abs().max() > 1e-3
    model.out_type = 'featmap'
    torch.testing.assert_close(model(images())[0].flatten(2).transpose(1, 2), tokens[:, 1:])


def test_layers_after_the_last_asked_for_do_not_run(original, checkpoint):
    model = PretrainedViT(checkpoint=checkpoint, num_heads=2, out_type='raw', out_indices=[0, 1])
    model.layers[2] = None
    for one, other in zip(model(images()), original(images())[:2], strict=True):
        torch.testing.assert_close(one, other.detach())


def test_random_weights_without_a_checkpoint():
    models = []
    for make in (VisionTransformer, PretrainedViT):
        torch.manual_seed(0)
        models.append(make(**SMALL))
        models[-1].init_weights()
    expected, found = (model.state_dict() for model in models)
    assert list(found) == list(expected)
    for name, value in found.items():
        assert torch.equal(value, expected[name]), name
    model = PretrainedViT(**SMALL, num_registers=4)
    model.init_weights()
    assert model.registers.std().item() == pytest.approx(1e-6, rel=0.2)


def cubic(x, a=-0.75):
    """Weight of the cubic convolution that torch's bicubic interpolation uses."""
    x = abs(x)
    if x <= 1:
        return (a + 2) * x**3 - (a + 3) * x**2 + 1
    return a * x**3 - 5 * a * x**2 + 8 * a * x - 4 * a if x < 2 else 0.0


def test_an_offset_shifts_the_positions_as_in_the_code_of_dino():
    old, new, offset = 4, 7, 0.1
    positions = torch.randn(1, 1 + old * old, 1, dtype=torch.float64).float()
    grid = positions[0, 1:, 0].view(old, old)
    rows = torch.zeros(new, old)  # the interpolation along one side as a matrix
    for i in range(new):
        centre = (i + 0.5) * old / (new + offset) - 0.5
        for j in range(math.floor(centre) - 1, math.floor(centre) + 3):
            rows[i, min(max(j, 0), old - 1)] += cubic(centre - j)
    found = resize_positions(positions, (old, old), (new, new), offset=offset)
    torch.testing.assert_close(found[0, 1:, 0].view(new, new), rows @ grid @ rows.T)
    assert torch.equal(found[:, :1], positions[:, :1])
    plain = resize_positions(positions, (old, old), (new, new))
    assert (found - plain).abs().max() > 1e-3


def test_the_offset_reaches_the_forward_pass():
    models = []
    for offset in (0.0, 0.1):
        torch.manual_seed(0)
        arch = dict(embed_dims=16, num_layers=1, num_heads=2, feedforward_channels=32)
        model = PretrainedViT(arch, img_size=32, patch_size=8, pos_offset=offset, out_type='raw')
        model.init_weights()
        models.append(model)
    same, larger = torch.randn(1, 3, 32, 32), torch.randn(1, 3, 48, 48)
    assert torch.equal(models[0](same)[0], models[1](same)[0])
    assert not torch.equal(models[0](larger)[0], models[1](larger)[0])
