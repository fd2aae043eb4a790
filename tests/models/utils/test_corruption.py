"""Corruption fill and patch masks against image-by-image and patch-by-patch oracles."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kstest

from mmc_plugin.models.utils.corruption import corrupt, patch_mask, touched_patches

DEVICES = ['cpu', pytest.param('cuda', marks=pytest.mark.gpu)]


def make(num_views=2, batch=4, height=32, width=48, dtype=torch.float32, seed=0):
    rng = torch.Generator().manual_seed(seed)
    # Off centre, so that image values and noise cannot be taken for one another.
    views = (5 + torch.rand(num_views, batch, 3, height, width, generator=rng)).to(dtype)
    mask = torch.rand(num_views, batch, height, width, generator=rng) < 0.5
    alien = torch.rand(num_views, batch, generator=rng) < 0.5
    alien[0, 0], alien[-1, -1] = True, False
    return views, mask, alien


def slow_corrupt(views, mask, alien, noise):
    out = views.clone()
    num_views, batch, channels = views.shape[:3]
    for v in range(num_views):
        for b in range(batch):
            take_other = bool(alien[v, b]) and batch > 1
            source = views[v, (b - 1) % batch] if take_other else noise[v, b]
            for c in range(channels):
                out[v, b, c][mask[v, b]] = source[c][mask[v, b]]
    return out


@pytest.mark.parametrize('device', DEVICES)
@pytest.mark.parametrize('dtype', [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize('num_views, batch', [(2, 4), (1, 2), (3, 5), (2, 1)])
def test_equals_the_slow_fill_to_the_bit(num_views, batch, dtype, device):
    views, mask, alien = make(num_views, batch, dtype=dtype)
    noise = torch.randn(views.shape).to(dtype)
    before = [x.clone() for x in (views, mask, alien, noise)]
    out = corrupt(*(x.to(device) for x in (views, mask, alien, noise))).cpu()
    assert out.dtype == dtype
    assert torch.equal(out, slow_corrupt(views, mask, alien, noise))
    for tensor, copy in zip((views, mask, alien, noise), before, strict=True):
        assert torch.equal(tensor, copy)


def test_clean_outside_and_neighbour_inside():
    views, mask, _ = make()
    alien = torch.ones(2, 4, dtype=torch.bool)
    out = corrupt(views, mask, alien)
    inside = mask.unsqueeze(2).expand_as(views)
    assert torch.equal(out[~inside], views[~inside])
    neighbour = views[:, [3, 0, 1, 2]]
    assert torch.equal(out[inside], neighbour[inside])


@pytest.mark.parametrize('batch, alien', [(4, False), (1, True)])
def test_noise_is_standard_normal(batch, alien):
    views, mask, _ = make(batch=batch, height=64, width=64)
    kind = torch.full((2, batch), alien)
    out = corrupt(views, mask, kind, generator=torch.Generator().manual_seed(1))
    inside = mask.unsqueeze(2).expand_as(views)
    values = out[inside].double().numpy()
    assert kstest(values, 'norm').pvalue > 0.01
    # No value twice: channels, images and views have noise of their own.
    assert len(set(values.tolist())) > 0.99 * len(values)
    assert torch.equal(out[~inside], views[~inside])


def test_noise_follows_the_generator_and_the_global_seed():
    views, mask, alien = make()
    outs = [
        corrupt(views, mask, alien, generator=torch.Generator().manual_seed(s)) for s in (7, 7, 8)
    ]
    assert torch.equal(outs[0], outs[1]) and not torch.equal(outs[0], outs[2])
    torch.manual_seed(7)
    assert torch.equal(corrupt(views, mask, alien), outs[0])


def test_memory_layout_does_not_matter():
    views, mask, alien = make()
    by_image = [x.transpose(0, 1).contiguous().transpose(0, 1) for x in (views, mask, alien)]
    assert not by_image[0].is_contiguous()
    outs = [
        corrupt(*args, generator=torch.Generator().manual_seed(0))
        for args in ((views, mask, alien), by_image)
    ]
    assert torch.equal(*outs)


@pytest.mark.parametrize('device', DEVICES)
def test_autocast_changes_nothing(device):
    args = [x.to(device) for x in make()]
    noise = torch.randn_like(args[0])
    with torch.autocast(device, dtype=torch.bfloat16):
        out = corrupt(*args, noise)
        patches = patch_mask(args[1], 16)
    assert out.dtype == torch.float32 and torch.equal(out, corrupt(*args, noise))
    assert torch.equal(patches, patch_mask(args[1], 16))


def test_looks_at_no_value():
    # Meta tensors have no values, so anything that would wait for the device raises here.
    views, mask, alien = (x.to('meta') for x in make())
    out = corrupt(views, mask, alien)
    assert out.is_meta and out.shape == views.shape
    assert patch_mask(mask, 8).shape == (2, 4, 24)


@pytest.mark.gpu
def test_does_not_wait_for_the_gpu():
    views, mask, alien = (x.cuda() for x in make())
    torch.cuda.set_sync_debug_mode('error')
    try:
        corrupt(views, mask, alien)
        patch_mask(mask, 8)
    finally:
        torch.cuda.set_sync_debug_mode('default')


@settings(max_examples=60, deadline=None)
@given(
    rows=st.integers(1, 5),
    cols=st.integers(1, 5),
    patch=st.sampled_from([1, 4, 7, 10]),
    density=st.floats(0, 1),
    seed=st.integers(0, 1000),
)
def test_patch_mask_counts_pixels(rows, cols, patch, density, seed):
    rng = torch.Generator().manual_seed(seed)
    mask = torch.rand(2, 3, rows * patch, cols * patch, generator=rng) < density
    out = patch_mask(mask, patch)
    assert out.shape == (2, 3, rows * cols) and out.dtype == torch.bool
    for v in range(2):
        for b in range(3):
            for n in range(rows * cols):
                top, left = n // cols * patch, n % cols * patch
                count = int(mask[v, b, top : top + patch, left : left + patch].sum())
                assert bool(out[v, b, n]) == (count >= patch**2 / 2)


def test_patch_mask_is_exact_on_aligned_masks():
    patches = torch.rand(2, 3, 4, 6, generator=torch.Generator().manual_seed(0)) < 0.5
    pixels = patches.repeat_interleave(8, -1).repeat_interleave(8, -2)
    assert torch.equal(patch_mask(pixels, 8), patches.flatten(-2))
    assert torch.equal(patch_mask(pixels[0, 0], 8), patches[0, 0].flatten())


def test_half_a_patch_is_enough_and_one_pixel_less_is_not():
    mask = torch.zeros(4, 8, dtype=torch.bool)
    mask[:2] = True
    mask[0, 4] = False
    assert patch_mask(mask, 4).tolist() == [True, False]


def test_misfits_are_refused_in_a_sentence():
    views, mask, alien = make()
    with pytest.raises(ValueError, match=r'views must be a floating point tensor .*uint8'):
        corrupt(views.byte(), mask, alien)
    with pytest.raises(ValueError, match=r'views must .* \(V, B, C, H, W\) .*\(4, 3, 32, 48\)'):
        corrupt(views[0], mask, alien)
    with pytest.raises(ValueError, match=r'mask must .*\(2, 4, 32, 48\) .*\(4, 2, 32, 48\)'):
        corrupt(views, mask.transpose(0, 1), alien)
    with pytest.raises(ValueError, match=r'mask must be a bool .* torch.float32'):
        corrupt(views, mask.float(), alien)
    with pytest.raises(ValueError, match=r'alien must be a bool tensor of shape \(2, 4\)'):
        corrupt(views, mask, alien[:1])
    with pytest.raises(ValueError, match='noise must be like views, torch.float32 .*float64'):
        corrupt(views, mask, alien, noise=torch.randn(views.shape).double())
    with pytest.raises(ValueError, match='32x48 is not a multiple of patch_size=7'):
        patch_mask(mask, 7)
    with pytest.raises(ValueError, match='mask must be a bool tensor .*torch.float32'):
        patch_mask(mask.float(), 8)


@pytest.mark.parametrize('align', [1, 4])
def test_touched_patches_are_those_with_a_corrupted_pixel(align):
    generator = torch.Generator().manual_seed(0)
    mask = torch.rand(2, 3, 16 // align, 24 // align, generator=generator) < (
        0.02 if align == 1 else 0.4
    )
    mask = mask.repeat_interleave(align, -1).repeat_interleave(align, -2)
    places = itertools.product(range(2), range(3), range(4), range(6))
    slow = [
        n
        for n, (v, b, i, j) in enumerate(places)
        if mask[v, b, 4 * i : 4 * i + 4, 4 * j : 4 * j + 4].any()
    ]
    assert 0 < len(slow) < 144
    assert touched_patches(mask, 4).tolist() == slow
