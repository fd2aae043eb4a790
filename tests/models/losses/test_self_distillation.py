"""Losses over prototypes against loops, closed forms and the numbers of the MSN release."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from mmc_plugin.models.heads import PrototypeHead
from mmc_plugin.models.losses.centering import Centering
from mmc_plugin.models.losses.patch_distillation import patch_cross_entropy
from mmc_plugin.models.losses.self_distillation import (
    cross_entropy,
    crossed_views,
    mean_entropy_gap,
    sinkhorn,
    usage,
)


def test_crossed_views_against_the_loop_over_pairs():
    torch.manual_seed(0)
    logits, targets = torch.randn(5, 3, 7), torch.randn(2, 3, 7).softmax(-1)
    total, pairs = 0.0, 0
    for u in range(2):
        for v in range(5):
            if u == v:
                continue
            pairs += 1
            for b in range(3):
                z = [float(x) / 0.1 for x in logits[v, b].double()]
                log_sum = math.log(sum(math.exp(x) for x in z))
                total += sum(
                    -float(p) * (x - log_sum) for p, x in zip(targets[u, b], z, strict=True)
                )
    assert pairs == 8
    expected = total / pairs / 3
    assert crossed_views(logits, targets, 0.1).item() == pytest.approx(expected, rel=1e-5)


def test_sinkhorn_gives_the_numbers_of_the_release():
    rows = torch.tensor([[0.7, 0.2, 0.1], [0.6, 0.3, 0.1], [0.5, 0.25, 0.25]])
    expected = torch.tensor(
        [
            [0.431894, 0.302834, 0.265272],
            [0.339716, 0.416852, 0.243431],
            [0.228478, 0.280357, 0.491165],
        ]
    )
    found = sinkhorn(rows)
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)
    torch.testing.assert_close(found.sum(1), torch.ones(3))


def test_the_mean_entropy_is_0_where_all_are_used_alike_and_ln_k_where_one_is():
    assert mean_entropy_gap(torch.eye(4)).item() == pytest.approx(0, abs=1e-6)
    one = torch.tensor([[0.0, 1.0, 0.0]] * 5)
    assert mean_entropy_gap(one).item() == pytest.approx(math.log(3))


def test_a_prototype_that_nothing_uses_at_all_spoils_neither_targets_nor_gradients():
    rows = torch.tensor([[0.7, 0.3, 0.0], [0.4, 0.6, 0.0]])
    torch.testing.assert_close(sinkhorn(rows)[:, :2].sum(1), torch.ones(2))
    assert torch.equal(sinkhorn(rows)[:, 2], torch.zeros(2))
    logits = torch.tensor([[200.0, 199.0, 0.0], [200.0, 199.0, 0.0]], requires_grad=True)
    mean_entropy_gap(logits.softmax(-1)).backward()
    assert logits.grad.isfinite().all() and logits.grad.abs().max() > 0.01


def test_usage_counts_codes_and_measures_entropy():
    rows = torch.tensor([[0.5, 0.5, 0, 0], [0, 0, 1.0, 0], [0, 0, 0.9, 0.1]])
    found = usage(rows)
    assert found['codes'].item() == 2
    expected = (math.log(2) + 0 - 0.9 * math.log(0.9) - 0.1 * math.log(0.1)) / 3
    assert found['target_entropy'].item() == pytest.approx(expected, rel=1e-5)


class LogitRows(TorchDispatchMode):
    """Notes how many rows of logits over so many prototypes an operation makes at the most."""

    def __init__(self, prototypes: int) -> None:
        super().__init__()
        self.prototypes, self.most = prototypes, 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        made = func(*args, **kwargs or {})
        for each in made if isinstance(made, tuple | list) else [made]:
            if isinstance(each, torch.Tensor) and each.ndim and each.shape[-1] == self.prototypes:
                self.most = max(self.most, each.numel() // self.prototypes)
        return made


@pytest.mark.parametrize('chosen', [None, torch.arange(24).view(2, 3, 4) % 3 == 0])
def test_there_are_never_logits_of_all_patches_at_once(chosen):
    heads = [PrototypeHead(6, 11, 8, 5, train_length=True) for _ in range(2)]
    tokens = torch.randn(2, 3, 4, 6, requires_grad=True)
    # More rows than the 5 of the prototypes' own matrix, which has the width of logits, too.
    for max_logits, rows in ((11 * 6, 6), (11 * 100, 24 if chosen is None else 8)):
        with LogitRows(11) as seen:
            patch_cross_entropy(
                tokens, tokens.detach(), chosen, *heads, Centering(11), 0.1, 0.05, max_logits
            ).backward()
        assert seen.most == rows


@pytest.mark.parametrize('separate', [False, True])
def test_blocks_of_chosen_patches_equal_all_logits_at_once(separate):
    torch.manual_seed(0)
    heads = [
        PrototypeHead(6, 9, 8, 5, separate_patches=separate, train_length=True) for _ in range(2)
    ]
    student = torch.randn(2, 3, 4, 6, requires_grad=True)
    teacher = torch.randn(2, 3, 4, 6)
    chosen = torch.rand(2, 3, 4) < 0.5
    chosen[0, 1] = False  # an image without a masked patch counts as 0
    results = []
    for max_logits in (None, 9 * 2, 10**6):
        student.grad = None
        heads[0].zero_grad()
        centering = Centering(9)
        centering.center.copy_(torch.linspace(-1, 1, 9))
        if max_logits is None:  # the formula, with all logits
            logits = (heads[1].embed(teacher) @ heads[1].patch_prototypes().T).detach()
            targets = centering(logits, 0.05)
            each = heads[0].embed(student) @ heads[0].patch_prototypes().T
            each = cross_entropy(each, targets, 0.1)
            masked = chosen.float()
            per_image = (each * masked).sum(-1) / masked.sum(-1).clamp(min=1)
            loss = per_image.mean(1).sum() / 2
            centering.update(logits.flatten(0, 2).mean(0))
        else:
            loss = patch_cross_entropy(
                student, teacher, chosen, *heads, centering, 0.1, 0.05, max_logits
            )
        loss.backward()
        grads = [p.grad.clone() for p in heads[0].parameters() if p.grad is not None]
        results.append([loss.detach(), student.grad.clone(), centering.center.clone(), *grads])
    for other in results[1:]:
        for one, two in zip(results[0], other, strict=True):
            torch.testing.assert_close(two, one, atol=1e-6, rtol=1e-5)


def test_prototypes_are_asked_for_once_however_many_blocks_there_are():
    head, teacher = PrototypeHead(6, 9, 8, 5), PrototypeHead(6, 9, 8, 5)
    calls = []
    for each in (head, teacher):
        each.last_layer.register_forward_hook(lambda module, args, out: calls.append(id(module)))
    tokens = torch.randn(2, 3, 4, 6, requires_grad=True)
    chosen = torch.ones(2, 3, 4, dtype=torch.bool)
    centering = Centering(9)
    patch_cross_entropy(tokens, tokens, chosen, head, teacher, centering, 0.1, 0.05, 9).backward()
    assert sorted(calls) == sorted([id(head.last_layer), id(teacher.last_layer)])


def test_no_chosen_patch_at_all_is_a_loss_of_0_with_gradients():
    head = PrototypeHead(6, 9, 8, 5)
    tokens = torch.randn(2, 3, 4, 6)
    chosen = torch.zeros(2, 3, 4, dtype=torch.bool)
    loss = patch_cross_entropy(tokens, tokens, chosen, head, head, Centering(9), 0.1, 0.05)
    loss.backward()
    assert loss.item() == 0
    assert all(p.grad is not None for p in head.parameters())


def test_the_centre_is_a_moving_average_that_the_targets_subtract():
    centering = Centering(3)
    centering.update(torch.tensor([1.0, 2.0, 3.0]))
    centering.update(torch.tensor([1.0, 0.0, 0.0]))
    expected = torch.tensor([0.9 * 0.1 + 0.1, 0.9 * 0.2, 0.9 * 0.3])
    torch.testing.assert_close(centering.center, expected)
    logits = torch.tensor([[0.3, 0.2, 0.1]])
    torch.testing.assert_close(centering(logits, 0.5), F.softmax((logits - expected) / 0.5, -1))


def test_all_patches_need_no_mask():
    torch.manual_seed(0)
    head, other = PrototypeHead(6, 9, 8, 5), PrototypeHead(6, 9, 8, 5)
    student, teacher = torch.randn(2, 3, 4, 6), torch.randn(2, 3, 4, 6)
    found = [
        patch_cross_entropy(student, teacher, each, head, other, Centering(9), 0.1, 0.05, 18)
        for each in (None, torch.ones(2, 3, 4, dtype=torch.bool))
    ]
    torch.testing.assert_close(*found)
