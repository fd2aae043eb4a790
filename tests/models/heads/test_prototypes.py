"""Prototype heads: lengths, shared and separate layers, linearity."""

import pytest
import torch
import torch.nn.functional as F

from mmc_plugin.models.heads import PrototypeHead


def test_logits_are_cosines_with_prototypes_of_length_1_also_after_training():
    torch.manual_seed(0)
    head = PrototypeHead(6, 7, 8, 5)
    optimizer = torch.optim.SGD(head.parameters(), lr=1.0)
    for _ in range(3):
        optimizer.zero_grad()
        head(torch.randn(4, 6)).square().sum().backward()
        optimizer.step()
    torch.testing.assert_close(head.last_layer().norm(dim=1), torch.ones(7))
    tokens = torch.randn(4, 6)
    rows = head.layers(tokens)
    expected = F.cosine_similarity(rows[:, None], head.last_layer.weight[None], dim=-1)
    torch.testing.assert_close(head(tokens), expected)


def test_lengths_begin_with_1_and_can_be_learned():
    head = PrototypeHead(6, 7, 8, 5, train_length=True)
    torch.testing.assert_close(head.last_layer().norm(dim=1), torch.ones(7))
    head(torch.randn(2, 6)).sum().backward()
    assert head.last_layer.length.grad.abs().sum() > 0


def test_patches_share_the_prototypes_or_have_their_own():
    shared = PrototypeHead(6, 7, 8, 5)
    assert torch.equal(shared.patch_prototypes(), shared.last_layer())
    apart = PrototypeHead(6, 7, 8, 5, separate_patches=True)
    assert torch.equal(apart.patch_prototypes(), apart.patch_last_layer())
    assert not torch.allclose(apart.patch_prototypes(), apart.last_layer())
    named = [name for name, _ in apart.named_parameters() if 'last_layer' in name]
    assert len(named) == 2  # FreezeHook finds both


def test_one_prototype_is_refused():
    with pytest.raises(ValueError, match='num_prototypes of at least 2, got 1'):
        PrototypeHead(6, 1)
