"""The pyramid against one written out with einsum and loops in float64."""

import pytest
import torch
from mmpretrain.registry import MODELS
from torch.nn import functional as F

import mmc_plugin  # noqa: F401  registers
from mmc_plugin.errors import InputError


def norm(x, layer):
    mean, var = x.mean(1, keepdim=True), x.var(1, unbiased=False, keepdim=True)
    scale, shift = layer.weight[:, None, None], layer.bias[:, None, None]
    return (x - mean) / (var + 1e-6).sqrt() * scale + shift


def enlarge(x, layer):
    """Each pixel becomes 2×2."""
    out = torch.einsum('bchw,cdij->bdhiwj', x, layer.weight)
    return out.flatten(4).flatten(2, 3) + layer.bias[:, None, None]


def shrink(x):
    pairs = x[..., : x.shape[-2] // 2 * 2, : x.shape[-1] // 2 * 2]
    return pairs.unflatten(-1, (-1, 2)).unflatten(-3, (-1, 2)).amax((-1, -3))


def mix(x, layer):
    """A 3×3 convolution as the sum of nine shifted products."""
    h, w = x.shape[-2:]
    padded = F.pad(x, (1, 1, 1, 1))
    return sum(
        torch.einsum('bchw,dc->bdhw', padded[..., i : i + h, j : j + w], layer.weight[:, :, i, j])
        for i in range(3)
        for j in range(3)
    )


def written_out(neck, maps):
    up = neck.resize[0]
    gelu = lambda x: x / 2 * (1 + torch.erf(x / 2**0.5))
    scaled = [
        enlarge(gelu(norm(enlarge(maps[0], up[0]), up[1])), up[3]),
        enlarge(maps[1], neck.resize[1]), maps[2], shrink(maps[3]),
    ]  # fmt: skip
    outs = []
    for x, (one, first, three, second) in zip(scaled, neck.convs):
        x = norm(torch.einsum('bchw,dc->bdhw', x, one.weight[:, :, 0, 0]), first)
        outs.append(norm(mix(x, three), second))
    return [*outs, outs[-1][..., ::2, ::2]]


@pytest.mark.parametrize('count', [1, 4])
def test_the_pyramid_equals_the_written_out_one(count):
    torch.manual_seed(0)
    channels = 8 if count == 1 else [8, 12, 4, 16]
    neck = MODELS.build(dict(type='SimpleFPN', in_channels=channels, out_channels=6)).double()
    for p in neck.parameters():
        torch.nn.init.normal_(p)
    widths = [8] if count == 1 else channels
    maps = [torch.randn(2, c, 5, 6, dtype=torch.float64) for c in widths]
    outs = neck(maps)
    assert [tuple(o.shape[-2:]) for o in outs] == [(20, 24), (10, 12), (5, 6), (2, 3), (1, 2)]
    for own, other in zip(outs, written_out(neck, maps * (4 // count)), strict=True):
        torch.testing.assert_close(own, other)


def test_other_maps_are_refused():
    neck = MODELS.build(dict(type='SimpleFPN', in_channels=[8] * 4))
    with pytest.raises(InputError, match='4 maps of one size'):
        neck([torch.zeros(1, 8, 4, 4)])
    with pytest.raises(InputError, match='4 maps of one size'):
        neck([torch.zeros(1, 8, s, s) for s in (8, 4, 2, 1)])
    with pytest.raises(InputError, match='a map of 1×3 patches.*at least 2×2'):
        neck([torch.zeros(1, 8, 1, 3)] * 4)
    with pytest.raises(InputError, match='1 map or 4'):
        MODELS.build(dict(type='SimpleFPN', in_channels=[8, 8]))
    with pytest.raises(InputError, match='at least 4'):
        MODELS.build(dict(type='SimpleFPN', in_channels=8, num_outs=3))
