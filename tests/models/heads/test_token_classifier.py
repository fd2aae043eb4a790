import pytest
import torch
from mmengine.registry import init_default_scope
from mmpretrain.registry import MODELS

import mmc_plugin  # noqa: F401  registers


@pytest.mark.parametrize('kind', ['cls', 'pat', 'hybrid'])
def test_logits_are_those_of_the_tokens(kind):
    init_default_scope('mmpretrain')
    head = MODELS.build(dict(type='TokenClsHead', num_classes=5, embed_dims=8, kind=kind))
    tokens = torch.randn(3, 7, 8, generator=torch.Generator().manual_seed(0))
    parts = dict(
        cls=[tokens[:, 0]],
        pat=[sum(tokens[:, i] for i in range(1, 7)) / 6],
        hybrid=[tokens[:, 0], sum(tokens[:, i] for i in range(1, 7)) / 6],
    )[kind]
    weights = head.fc.weight.split(8, dim=1)
    expected = sum(part @ weight.T for part, weight in zip(parts, weights, strict=True))
    torch.testing.assert_close(head((None, tokens)), expected + head.fc.bias)


def test_an_unknown_kind_gets_a_sentence():
    with pytest.raises(ValueError, match="one of cls, pat, hybrid, got 'CLS'"):
        MODELS.build(dict(type='TokenClsHead', num_classes=5, embed_dims=8, kind='CLS'))
