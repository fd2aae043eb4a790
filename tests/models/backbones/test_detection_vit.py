"""Attention in windows against full attention and a loop; maps of images of any size."""

import pytest
import torch
from mmpretrain.models.utils import MultiheadAttention
from mmpretrain.registry import MODELS

from mmc_plugin.errors import InputError
from mmc_plugin.models.backbones.detection_vit import window_attention

SMALL = dict(
    arch=dict(embed_dims=24, num_layers=4, num_heads=2, feedforward_channels=48),
    img_size=32, patch_size=8, num_registers=2, layer_scale_init_value=0.5, frozen=False,
)  # fmt: skip


def build(kind='DetectionViT', **settings):
    torch.manual_seed(0)
    model = MODELS.build(dict(type=kind, **SMALL | settings)).double().eval()
    for value in model.parameters():
        torch.nn.init.normal_(value, std=0.3)
    return model


@pytest.fixture
def attention():
    torch.manual_seed(0)
    attn = MultiheadAttention(12, 3, layer_scale_init_value=0.5).double().eval()
    for value in attn.parameters():
        torch.nn.init.normal_(value)
    return attn


def looped(attn, x, size, window):
    """Token by token."""
    height, width = size
    before = x.shape[1] - height * width
    place = [(None, None)] * before + [
        (i // window, j // window) for i in range(height) for j in range(width)
    ]
    q, k, v = attn.qkv(x).unflatten(2, (3, attn.num_heads, -1)).unbind(2)  # (B,P+N,H,d)
    out = torch.zeros_like(q)
    for b in range(len(x)):
        for i, own in enumerate(place):
            seen = [j for j, other in enumerate(place) if i < before or j < before or own == other]
            for h in range(attn.num_heads):
                weight = (k[b, seen, h] @ q[b, i, h] / q.shape[-1] ** 0.5).softmax(0)
                out[b, i, h] = weight @ v[b, seen, h]
    return attn.gamma1(attn.proj(out.flatten(2)))


@pytest.mark.parametrize('before', [1, 4])
@pytest.mark.parametrize(('size', 'window'), [((4, 6), 2), ((5, 7), 3), ((2, 5), 4), ((3, 3), 1)])
def test_windows_equal_a_loop(attention, size, window, before):
    x = torch.randn(2, before + size[0] * size[1], 12, dtype=torch.float64)
    torch.testing.assert_close(
        window_attention(attention, x, size, window), looped(attention, x, size, window)
    )


@pytest.mark.parametrize('window', [5, 8])  # the grid itself, and one that reaches beyond it
def test_one_window_is_full_attention(attention, window):
    x = torch.randn(2, 1 + 5 * 5, 12, dtype=torch.float64)
    torch.testing.assert_close(window_attention(attention, x, (5, 5), window), attention(x))


def test_drop_path_acts_on_windows_as_on_all(attention):
    attention.out_drop = torch.nn.Dropout(1.0)
    attention.train()
    x = torch.randn(1, 1 + 4, 12, dtype=torch.float64)
    assert not window_attention(attention, x, (2, 2), 1).any()


def test_without_windows_the_features_are_those_of_segmentation_to_the_bit():
    images = torch.randn(2, 3, 32, 48, dtype=torch.float64)
    for settings in (dict(), dict(window_size=6), dict(window_size=1, global_layers=(0, 1, 2, -1))):
        model = build(out_indices=(1, 3), **settings)
        plain = build('PretrainedViT', out_type='featmap', out_indices=(1, 3))
        plain.load_state_dict(model.state_dict())  # the same names
        for one, other in zip(model(images), plain(images), strict=True):
            assert torch.equal(one, other)
    windows = build(window_size=2, out_indices=(1, 3))
    windows.load_state_dict(plain.state_dict())
    assert not torch.allclose(windows(images)[0], plain(images)[0])


def test_patches_see_other_windows_in_global_layers_and_through_the_class_token():
    images = torch.randn(1, 3, 32, 32, dtype=torch.float64)
    changed = images.clone()
    changed[..., :8, :8] += 1  # a patch of the first window

    def moved(**settings):
        model = build(window_size=2, **settings)
        return (model(images)[0] - model(changed)[0]).abs().amax(1)[0] > 1e-12  # (4,4)

    first = torch.zeros(4, 4, dtype=torch.bool)
    first[:2, :2] = True
    assert torch.equal(moved(out_indices=0), first)
    assert moved(out_indices=0, global_layers=[0]).all()
    assert moved(out_indices=1).all()  # the class token has seen it


def test_images_are_padded_to_patches():
    model = build(window_size=3)
    images = torch.randn(2, 3, 19, 45, dtype=torch.float64)
    padded = torch.zeros(2, 3, 24, 48, dtype=torch.float64)
    padded[..., :19, :45] = images
    (out,) = model(images)
    assert out.shape == (2, 24, 3, 6) and torch.equal(out, model(padded)[0])
    assert model(images[..., :5, :3])[0].shape == (2, 24, 1, 1)


def test_frozen_and_trained():
    images = torch.randn(1, 3, 32, 32)
    frozen = build(frozen=True, window_size=2, drop_path_rate=0.5).float().train()
    assert not frozen.training and not frozen(images)[0].requires_grad
    trained = build(window_size=2).float().train()
    trained(images)[0].sum().backward()
    assert all(p.grad is not None for p in trained.parameters())


def test_settings_that_cannot_be_are_refused():
    with pytest.raises(InputError, match=r'window_size=0 with global_layers=\[2\]'):
        build(global_layers=[2])
    with pytest.raises(InputError, match='layer 4, but the backbone has 4, 0 to 3'):
        build(window_size=2, global_layers=[4])
