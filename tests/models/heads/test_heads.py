"""The three heads against slow float64 versions of the formulas of arXiv 2308.11448."""

import copy
import math

import pytest
import torch
import torch.nn.functional as F

from mmc_plugin.models.heads import (
    GlobalContrastHead,
    PatchContrastHead,
    PixelReconstructionHead,
    ProjectionMLP,
)

TAU = 0.2
SMALL = dict(in_channels=12, hidden_channels=16, out_channels=8)


def unit_rows(*shape: int) -> torch.Tensor:
    return F.normalize(torch.randn(*shape, dtype=torch.float64), dim=-1)


def test_projection_is_linear_norm_act_twice_then_linear_norm_l2():
    mlp = ProjectionMLP(**SMALL).double()
    tokens = torch.randn(3, 5, 12, dtype=torch.float64)
    x = tokens.reshape(15, 12)
    linears = [m for m in mlp.modules() if isinstance(m, torch.nn.Linear)]
    for i, linear in enumerate(linears):
        x = x @ linear.weight.T
        x = (x - x.mean(0)) / (x.var(0, unbiased=False) + 1e-5).sqrt()  # batch norm over B*N rows
        if i < 2:
            x = 0.5 * x * (1 + torch.erf(x / math.sqrt(2)))
    expected = (x / x.norm(dim=1, keepdim=True)).reshape(3, 5, 8)
    torch.testing.assert_close(mlp(tokens).double(), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize('kind', ['BN1d', 'LN'])
def test_views_apart_are_a_call_for_each(kind):
    torch.manual_seed(0)
    one = ProjectionMLP(**SMALL, norm_cfg=dict(type=kind)).double()
    each = copy.deepcopy(one)
    views, weights = unit_rows(3, 5, 2, 12), unit_rows(3, 5, 2, 8)
    views[1] = 4 * views[1] + 1  # another distribution
    found = one(views, apart=True)
    expected = torch.stack([each(view) for view in views])
    torch.testing.assert_close(found, expected)
    (found.double() * weights).sum().backward()
    (expected.double() * weights).sum().backward()
    for own, other in zip(one.parameters(), each.parameters(), strict=True):
        torch.testing.assert_close(own.grad, other.grad, rtol=1e-4, atol=1e-6)  # rows are fp32
    torch.testing.assert_close(dict(one.named_buffers()), dict(each.named_buffers()))
    if kind == 'BN1d':
        assert (one(views) - found).abs().max() > 0.1
        with pytest.raises(ValueError, match='batch of one image'):
            one(views[:, :1, 0], apart=True)


def test_last_norm_has_no_affine_and_norm_may_be_left_out():
    norms = [m for m in ProjectionMLP(**SMALL).modules() if isinstance(m, torch.nn.BatchNorm1d)]
    assert [norm.affine for norm in norms] == [True, True, False]
    layer_norms = [
        m
        for m in ProjectionMLP(**SMALL, norm_cfg=dict(type='LN')).modules()
        if isinstance(m, torch.nn.LayerNorm)
    ]
    assert [norm.elementwise_affine for norm in layer_norms] == [True, True, False]
    plain = ProjectionMLP(**SMALL, norm_cfg=None)
    assert not [m for m in plain.modules() if 'Norm' in type(m).__name__]
    assert all(m.bias is not None for m in plain.modules() if isinstance(m, torch.nn.Linear))


def test_one_row_cannot_be_normalised_in_training():
    mlp = ProjectionMLP(**SMALL)
    with pytest.raises(ValueError, match='batch of one image'):
        mlp(torch.randn(1, 12))
    assert mlp.eval()(torch.randn(1, 12)).shape == (1, 8)
    assert ProjectionMLP(**SMALL, norm_cfg=dict(type='LN'))(torch.randn(1, 12)).shape == (1, 8)


def test_several_views_of_queries_are_averaged():
    head = GlobalContrastHead(**SMALL, temperature=TAU)
    q, k = unit_rows(3, 6, 8), unit_rows(6, 8)
    expected = sum(head.loss(view, k) for view in q) / 3
    torch.testing.assert_close(head.loss(q, k), expected, rtol=1e-12, atol=1e-12)


def test_global_contrast_against_a_double_loop():
    torch.manual_seed(0)
    head = GlobalContrastHead(**SMALL, temperature=TAU)
    q, k = unit_rows(6, 8), unit_rows(6, 8)
    losses = []
    for i in range(6):
        terms = [math.exp(float(q[i] @ k[j]) / TAU) for j in range(6)]
        losses.append(-math.log(terms[i] / sum(terms)))
    assert float(head.loss(q, k)) == pytest.approx(sum(losses) / 6, rel=1e-9)


@pytest.mark.parametrize('which', ['all', 'masked'])
def test_patch_contrast_against_a_double_loop(which):
    torch.manual_seed(1)
    images, patches = 4, 5
    head = PatchContrastHead(**SMALL, temperature=TAU, queries=which)
    q, k = unit_rows(images, patches, 8), unit_rows(images, patches, 8)
    masked = torch.rand(images, patches) < 0.5
    losses = []
    for b in range(images):
        for i in range(patches):
            if which == 'masked' and not masked[b, i]:
                continue
            positive = math.exp(float(q[b, i] @ k[b, i]) / TAU)
            negative = sum(
                math.exp(float(q[b, i] @ k[c, j]) / TAU)
                for c in range(images)
                for j in range(patches)
                if c != b  # same-image patches leave the denominator
            )
            losses.append(-math.log(positive / (positive + negative)))
    expected = sum(losses) / len(losses)
    loss = head.loss(head.choose(q, masked), k, masked)
    assert float(loss) == pytest.approx(expected, rel=1e-9)


def test_perfect_match_gives_the_analytic_value():
    # Orthogonal embeddings: positive cosine 1, all others 0.
    eye = torch.eye(8, dtype=torch.float64)
    expected = -math.log(math.exp(1 / TAU) / (math.exp(1 / TAU) + 7))
    head = GlobalContrastHead(**SMALL, temperature=TAU)
    assert float(head.loss(eye, eye)) == pytest.approx(expected, rel=1e-12)
    # Four images of two patches: the other patch of the own image leaves the denominator.
    expected = -math.log(math.exp(1 / TAU) / (math.exp(1 / TAU) + 6))
    patch_head = PatchContrastHead(**SMALL, temperature=TAU)
    tokens = eye.reshape(4, 2, 8)
    loss = patch_head.loss(eye, tokens, torch.ones(4, 2, dtype=torch.bool))
    assert float(loss) == pytest.approx(expected, rel=1e-12)


def test_unknown_queries_are_refused():
    with pytest.raises(ValueError, match="queries must be 'all' or 'masked'"):
        PatchContrastHead(**SMALL, queries='most')


def test_reconstruction_loss_counts_masked_pixels_only():
    torch.manual_seed(2)
    head = PixelReconstructionHead(in_channels=12, patch_size=4, hidden_channels=16)
    images = torch.randn(2, 3, 8, 12)
    mask = torch.rand(2, 8, 12) < 0.3  # not aligned with the patches
    tokens = torch.randn(2, 6, 12)
    pixels = head(tokens)
    predicted = head.to_image(pixels, 8, 12).detach()
    total, count = 0.0, 0
    for b in range(2):
        for y in range(8):
            for x in range(12):
                if mask[b, y, x]:
                    for c in range(3):
                        total += abs(float(predicted[b, c, y, x]) - float(images[b, c, y, x]))
                        count += 1
    assert head.loss(pixels, images, mask).item() == pytest.approx(total / count, rel=1e-5)

    changed = torch.where(mask[:, None], images, images + 5)  # only clean pixels differ
    torch.testing.assert_close(head.loss(pixels, changed, mask), head.loss(pixels, images, mask))


def test_reconstruction_gradient_is_zero_outside_the_mask():
    head = PixelReconstructionHead(in_channels=12, patch_size=4, hidden_channels=16)
    pixels = torch.randn(1, 6, 48, requires_grad=True)
    mask = torch.zeros(1, 8, 12, dtype=torch.bool)
    mask[:, :4, :4] = True  # first patch
    head.loss(pixels, torch.randn(1, 3, 8, 12), mask).backward()
    assert pixels.grad[:, 0].abs().min() > 0
    assert pixels.grad[:, 1:].abs().max() == 0
