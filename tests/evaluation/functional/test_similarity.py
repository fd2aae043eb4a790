import pytest
import torch

from mmc_plugin.evaluation.functional.similarity import patch_similarity


def test_equals_a_slow_loop():
    tokens = torch.randn(3, 6, 5, generator=torch.Generator().manual_seed(0))
    index = torch.tensor([2, 0, 5])
    found = patch_similarity(tokens, index)
    assert found.shape == (3, 6)
    for b in range(3):
        for n in range(6):
            expected = torch.cosine_similarity(tokens[b, n], tokens[b, index[b]], dim=0)
            assert found[b, n].item() == pytest.approx(expected.item(), abs=1e-6)


def test_one_index_serves_all_images_and_finds_itself():
    tokens = torch.randn(2, 9, 4, generator=torch.Generator().manual_seed(1))
    found = patch_similarity(tokens, 4)
    torch.testing.assert_close(found, patch_similarity(tokens, torch.tensor([4, 4])))
    torch.testing.assert_close(found[:, 4], torch.ones(2))


def test_refuses_in_a_sentence():
    tokens = torch.zeros(2, 9, 4)
    for index in (9, -1):
        with pytest.raises(ValueError, match='lie in 0 … 8'):
            patch_similarity(tokens, index)
    with pytest.raises(ValueError, match=r'\(B, N, D\)'):
        patch_similarity(tokens[0], 0)
