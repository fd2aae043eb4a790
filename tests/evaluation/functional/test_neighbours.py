import pytest
import torch

from mmc_plugin.evaluation.functional import neighbours
from mmc_plugin.evaluation.functional.neighbours import nearest_neighbours


def slow(bank, queries, k):
    """From the whole matrix of cosines, in float64."""
    bank, queries = (torch.cat(list(parts), 1).double() for parts in (bank, queries))
    bank, queries = (each / each.norm(dim=1, keepdim=True) for each in (bank, queries))
    similarity = queries @ bank.t()
    index = similarity.argsort(1, descending=True)[:, :k]
    return similarity.gather(1, index), index


@pytest.mark.parametrize('rows, columns, group', [(2048, 4096, 8), (7, 100, 4), (3, 5, 2)])
@pytest.mark.parametrize('k', [1, 5, 50])
@pytest.mark.parametrize('parts', [1, 2])
def test_equals_the_whole_matrix(rows, columns, group, k, parts, monkeypatch):
    monkeypatch.setattr(neighbours, '_QUERIES', rows)
    monkeypatch.setattr(neighbours, '_BANK', dict(cpu=columns))
    monkeypatch.setattr(neighbours, '_GROUP', group)
    generator = torch.Generator().manual_seed(k)
    bank, queries = (
        [torch.randn(n, 6 + i, generator=generator) for i in range(parts)] for n in (500, 23)
    )
    similarity, index = nearest_neighbours(bank, queries, k)
    expected, places = slow(bank, queries, k)
    assert torch.equal(index, places)
    torch.testing.assert_close(similarity.double(), expected, rtol=0, atol=1e-6)


def test_of_more_columns_than_groups_hold():
    bank, queries = torch.randn(4096 + 37, 8), torch.randn(5, 8)
    bank[-1] = queries[3]  # in the rest that makes no group
    similarity, index = nearest_neighbours([bank], [queries], 3)
    assert torch.equal(index, slow([bank], [queries], 3)[1]) and index[3, 0] == 4096 + 36


def test_equal_rows_are_all_found_and_zeros_are_like_nothing():
    bank = torch.cat([torch.eye(4).repeat(3, 1), torch.zeros(1, 4)])
    similarity, index = nearest_neighbours([bank], [torch.eye(4)[:1]], 13)
    assert sorted(index[0, :3].tolist()) == [0, 4, 8]
    assert similarity[0].tolist() == [1.0] * 3 + [0.0] * 10


def test_a_million_features_fit(monkeypatch):
    """What is held beside the bank does not grow with it."""
    seen = []
    empty = torch.Tensor.new_empty
    monkeypatch.setattr(
        torch.Tensor, 'new_empty', lambda self, *size: seen.append(size) or empty(self, *size)
    )
    bank = torch.randn(1, 8).expand(1_000_000, 8)  # takes no memory
    similarity, _ = nearest_neighbours([bank, bank], [bank[:10], bank[:10]], 20)
    assert torch.allclose(similarity, torch.ones(()))
    assert max(size[0] for size in seen if len(size) == 1) == 10 * 4096
