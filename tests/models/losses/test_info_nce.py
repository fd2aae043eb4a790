import json
import math

import pytest
import torch
import torch.nn.functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from mmc_plugin.models.losses.info_nce import info_nce


def oracle(queries, positives, keys, query_groups, key_groups, temperature=0.2):
    """The formula word for word, in float64: one query, one key at a time. Returns (Q,)."""
    queries, positives, keys = queries.double(), positives.double(), keys.double()
    losses = []
    for q, p, q_group in zip(queries, positives, query_groups.tolist(), strict=True):
        numerator = torch.exp(q @ p / temperature)
        denominator = numerator
        for k, k_group in zip(keys, key_groups.tolist(), strict=True):
            if k_group != q_group:
                denominator = denominator + torch.exp(q @ k / temperature)
        losses.append(-torch.log(numerator / denominator))
    return torch.stack(losses)


def unit(*shape, seed=0, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(*shape, generator=generator, dtype=torch.float64), dim=-1).to(
        dtype
    )


def patch_case(dtype=torch.float32):
    """3 images of 4 patches; the keys are the positives."""
    groups = torch.arange(3).repeat_interleave(4)
    positives = unit(12, 6, seed=1, dtype=dtype)
    return unit(12, 6, dtype=dtype), positives, positives, groups, groups


def cls_case(dtype=torch.float32):
    """One token an image, 5 images here, the keys of 10 gathered."""
    keys = unit(10, 6, seed=1, dtype=dtype)
    return unit(5, 6, dtype=dtype), keys[5:], keys, torch.arange(5, 10), torch.arange(10)


def irregular_case(dtype=torch.float32):
    """Groups out of order and of any size, strangers among keys and queries, own positives."""
    return (
        unit(7, 6, dtype=dtype),
        unit(7, 6, seed=1, dtype=dtype),
        unit(9, 6, seed=2, dtype=dtype),
        torch.tensor([3, 0, 3, -1, 8, 0, 3]),
        torch.tensor([0, 3, 3, 2**40, 0, 3, 5, 0, 3]),
    )


CASES = [patch_case, cls_case, irregular_case]


def leaves(case, dtype=torch.float32):
    """The case with queries, positives and keys as separate leaves."""
    *features, query_groups, key_groups = case(dtype)
    return [x.clone().requires_grad_() for x in features], (query_groups, key_groups)


@pytest.mark.parametrize('case', CASES)
@pytest.mark.parametrize('max_logits', [1, 25, 2**24])
def test_value_and_gradients_equal_the_double_loop(case, max_logits):
    features, groups = leaves(case)
    upstream = torch.tensor(1.7)
    loss = info_nce(*features, *groups, max_logits=max_logits)
    expected = oracle(*features, *groups).mean()
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss.double(), expected, rtol=1e-5, atol=1e-6)
    gradients = torch.autograd.grad(loss, features, upstream)
    expected = torch.autograd.grad(expected, features, upstream.double())
    for gradient, wanted in zip(gradients, expected, strict=True):
        torch.testing.assert_close(gradient, wanted, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize('needed', [(1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 0), (0, 1, 1)])
def test_any_subset_may_need_gradients(needed):
    features, groups = leaves(irregular_case)
    everything = torch.autograd.grad(info_nce(*features, *groups), features)
    some = [x.detach().requires_grad_(bool(need)) for x, need in zip(features, needed, strict=True)]
    info_nce(*some, *groups, max_logits=20).mean().backward()
    for x, need, gradient in zip(some, needed, everything, strict=True):
        if need:
            torch.testing.assert_close(x.grad, gradient)
        else:
            assert x.grad is None


@pytest.mark.parametrize('max_logits', [1, 25, 2**24])
@pytest.mark.parametrize('case', CASES)
def test_gradcheck(case, max_logits):
    features, groups = leaves(case, torch.float64)
    assert torch.autograd.gradcheck(
        lambda *x: info_nce(*x, *groups, max_logits=max_logits), features
    )


def test_one_tensor_in_several_roles():
    groups = torch.arange(6) // 2
    x = unit(6, 4, dtype=torch.float64).requires_grad_()
    (gradient,) = torch.autograd.grad(info_nce(x, x.flip(0), x, groups, groups, max_logits=7), x)
    (wanted,) = torch.autograd.grad(oracle(x, x.flip(0), x, groups, groups).mean(), x)
    torch.testing.assert_close(gradient, wanted)


def test_backward_twice_gives_the_same():
    features, groups = leaves(irregular_case)
    loss = info_nce(*features, *groups).sum()
    first = torch.autograd.grad(loss, features, retain_graph=True)
    second = torch.autograd.grad(loss, features)
    for a, b in zip(first, second, strict=True):
        assert torch.equal(a, b)


def test_equals_cross_entropy_where_each_image_is_one_token():
    queries, keys, index = unit(16, 8).requires_grad_(), unit(16, 8, seed=1), torch.arange(16)
    loss = info_nce(queries, keys, keys, index, index, temperature=0.1, max_logits=50)
    expected = F.cross_entropy(queries @ keys.t() / 0.1, index)
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(
        torch.autograd.grad(loss, queries), torch.autograd.grad(expected, queries)
    )


@pytest.mark.parametrize('temperature', [0.07, 0.2, 1.0])
@pytest.mark.parametrize('cosine', [-0.25, 0.0, 0.9])
def test_perfect_match_has_the_analytic_value(temperature, cosine):
    # 5 images; unit tokens with one cosine between any two; two patches of an image coincide.
    gram = torch.full((5, 5), cosine, dtype=torch.float64).fill_diagonal_(1)
    values, vectors = torch.linalg.eigh(gram)
    tokens = (vectors * values.clamp(min=0).sqrt()).repeat_interleave(2, 0)
    groups = torch.arange(5).repeat_interleave(2)
    loss = info_nce(tokens, tokens, tokens, groups, groups, temperature)
    match, others = math.exp(1 / temperature), 8 * math.exp(cosine / temperature)
    assert loss.item() == pytest.approx(-math.log(match / (match + others)), rel=1e-9)


def test_same_image_keys_do_not_matter():
    queries, positives, keys, query_groups, key_groups = irregular_case()
    mine = query_groups == 3
    args = queries[mine], positives[mine]
    changed = torch.where((key_groups == 3)[:, None], unit(9, 6, seed=9), keys)
    before = info_nce(*args, keys, query_groups[mine], key_groups)
    assert torch.equal(before, info_nce(*args, changed, query_groups[mine], key_groups))
    only_others = key_groups != 3
    dropped = info_nce(*args, keys[only_others], query_groups[mine], key_groups[only_others])
    torch.testing.assert_close(before, dropped)


def test_permuting_images_only_permutes():
    queries, positives, _, groups, _ = patch_case(torch.float64)
    queries = queries.requires_grad_()
    order = torch.tensor([2, 0, 1])[:, None].mul(4).add(torch.arange(4)).flatten()
    loss = info_nce(queries, positives, positives, groups, groups)
    (gradient,) = torch.autograd.grad(loss, queries)
    moved = queries.detach()[order].requires_grad_()
    permuted = info_nce(moved, positives[order], positives[order], groups[order], groups[order])
    torch.testing.assert_close(permuted, loss)
    torch.testing.assert_close(torch.autograd.grad(permuted, moved)[0], gradient[order])


def test_autocast_does_not_reach_the_logits():
    features, groups = leaves(patch_case)
    with torch.autocast('cpu', torch.bfloat16):
        loss = info_nce(*features, *groups)
        gradients = torch.autograd.grad(loss.sum(), features)
    wanted = info_nce(*features, *groups)
    assert loss.dtype == torch.float32
    assert torch.equal(loss, wanted)
    for a, b in zip(gradients, torch.autograd.grad(wanted.sum(), features), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
def test_low_precision_inputs_are_computed_in_float32(dtype):
    features, groups = leaves(patch_case, dtype)
    loss = info_nce(*features, *groups)
    expected = oracle(*features, *groups).mean()
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss.double(), expected, rtol=1e-6, atol=0)
    gradients = torch.autograd.grad(loss, features)
    wanted = torch.autograd.grad(expected, features)
    for gradient, reference in zip(gradients, wanted, strict=True):
        assert gradient.dtype == dtype
        torch.testing.assert_close(gradient, reference, rtol=1e-2, atol=1e-5)


@pytest.mark.parametrize('sign', [1, -1])
def test_extreme_logits_stay_finite(sign):
    # Logits of ±100 and ±1000: exp of them overflows or vanishes in float32.
    queries = unit(6, 4).requires_grad_()
    groups = torch.arange(6)
    for temperature in (0.01, 0.001):
        keys = (sign * queries).detach()
        loss = info_nce(queries, keys, keys, groups, groups, temperature)
        (gradient,) = torch.autograd.grad(loss, queries)
        expected = F.cross_entropy(queries.double() @ keys.double().t() / temperature, groups)
        assert gradient.isfinite().all()
        torch.testing.assert_close(loss.double(), expected, rtol=1e-5, atol=1e-6)


def test_queries_without_negatives_have_loss_zero():
    features, (query_groups, _) = leaves(irregular_case)
    key_groups = torch.full((9,), 3)
    mixed = info_nce(*features, query_groups, key_groups)
    expected = oracle(*features, query_groups, key_groups)
    assert (expected[query_groups == 3] == 0).all()
    torch.testing.assert_close(mixed.double(), expected.mean())
    loss = info_nce(*features, torch.full_like(query_groups, 3), key_groups)
    assert (loss == 0).all()
    for gradient in torch.autograd.grad(loss.sum(), features):
        assert (gradient == 0).all()


def test_no_queries():
    queries, keys = torch.empty(0, 6, requires_grad=True), unit(4, 6)
    groups = torch.empty(0, dtype=torch.int64), torch.arange(4)
    loss = info_nce(queries, queries.detach(), keys, *groups)
    loss.backward()
    assert loss.item() == 0 and queries.grad.shape == (0, 6)


class Largest(TorchDispatchMode):
    """Notes the most elements any operator's result has, backward and custom functions included."""

    numel = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        sizes = [x.numel() for x in tree_leaves(out) if isinstance(x, torch.Tensor)]
        self.numel = max([self.numel, *sizes])
        return out


def test_no_tensor_is_larger_than_a_block_and_none_is_kept():
    size, width, max_logits = 512, 8, 2**13
    features = [unit(size, width, seed=s).requires_grad_() for s in range(3)]
    groups = torch.arange(size) // 4
    kept = []
    hooks = torch.autograd.graph.saved_tensors_hooks(
        lambda x: kept.append(x.numel()) or x, lambda x: x
    )
    with Largest() as largest, hooks:
        loss = info_nce(*features, groups, groups, max_logits=max_logits)
        loss.backward()
    assert largest.numel == max_logits
    assert max(kept) == size * width


def peak_bytes(images, path):
    """Most bytes that one forward and backward hold at a time, from the allocator's events."""
    features = [unit(images * 16, 32, seed=s).requires_grad_() for s in range(3)]
    groups = torch.arange(images).repeat_interleave(16)
    activities = [torch.profiler.ProfilerActivity.CPU]
    with torch.profiler.profile(activities=activities, profile_memory=True) as profile:
        info_nce(*features, groups, groups, max_logits=2**14).backward()
    profile.export_chrome_trace(str(path))
    events = [e for e in json.loads(path.read_text())['traceEvents'] if e['name'] == '[memory]']
    held = peak = 0
    for event in sorted(events, key=lambda e: e['ts']):
        held += event['args']['Bytes']
        peak = max(peak, held)
    return peak


def test_peak_memory_is_linear_in_the_batch(tmp_path):
    small, middle, large = (
        peak_bytes(n, tmp_path / 'trace.json') for n in (16, 32, 64)
    )  # Q = K = 256, 512, 1024
    assert 2**16 < small  # a block of logits was seen at all
    assert large < 1024 * 1024 * 4 / 3  # a third of one full matrix
    assert large - middle == pytest.approx(2 * (middle - small), rel=0.1)


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (dict(temperature=0), 'must be positive'),
        (dict(max_logits=0), 'must be positive'),
        (dict(positives=torch.ones(3, 6)), 'queries and positives'),
        (dict(keys=torch.ones(9, 5)), r'\(K, 6\)'),
        (dict(keys=torch.ones(0, 6), key_groups=torch.arange(0)), 'K ≥ 1'),
        (dict(query_groups=torch.arange(4)), r'\(7,\) and \(9,\)'),
        (dict(key_groups=torch.arange(4)), r'\(7,\) and \(9,\)'),
    ],
)
def test_wrong_arguments_get_a_sentence(change, message):
    names = ('queries', 'positives', 'keys', 'query_groups', 'key_groups')
    arguments = dict(zip(names, irregular_case(), strict=True)) | change
    with pytest.raises(ValueError, match=message):
        info_nce(**arguments)
