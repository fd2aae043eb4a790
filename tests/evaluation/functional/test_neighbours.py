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
@pytest.mark.parametrize('rough', [False, True])
def test_equals_the_whole_matrix(rows, columns, group, k, parts, rough, monkeypatch):
    monkeypatch.setattr(neighbours, '_has_bfloat16', lambda: rough)
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


@pytest.mark.parametrize('spread, looked_at', [(0.01, 1), (1.9, 39)])
def test_rough_products_are_left_where_they_tell_nothing(spread, looked_at, monkeypatch):
    """Cosines from 1 − spread to 1: if that is little, more than can be looked at come near."""
    monkeypatch.setattr(neighbours, '_has_bfloat16', lambda: True)
    monkeypatch.setattr(neighbours, '_BANK', dict(cpu=1000))
    candidates, tried = neighbours._candidates, []
    monkeypatch.setattr(
        neighbours, '_candidates', lambda *each: tried.append(0) or candidates(*each)
    )
    order = torch.randperm(40000, generator=torch.Generator().manual_seed(0))
    cosine = 1 - spread * ((order + 1) / 40001).sqrt()
    bank = torch.stack([cosine, (1 - cosine**2).sqrt()], 1)
    similarity, index = nearest_neighbours([bank], [torch.tensor([[1.0, 0.0]])], 5)
    assert torch.equal(index[0], order.argsort()[:5])
    torch.testing.assert_close(similarity[0], cosine[index[0]])
    assert len(tried) == looked_at


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


def test_rows_that_rough_products_round_down_are_found(monkeypatch):
    monkeypatch.setattr(neighbours, '_has_bfloat16', lambda: True)
    candidates, found = neighbours._candidates, []
    monkeypatch.setattr(
        neighbours,
        '_candidates',
        lambda *each: found.append(candidates(*each)) or found[-1],
    )
    generator = torch.Generator().manual_seed(0)
    bank, queries = (torch.randn(n, 64, generator=generator) for n in (40_000, 200))
    similarity, index = nearest_neighbours([bank], [queries], 5)
    expected, places = slow([bank], [queries], 5)
    assert torch.equal(index, places)
    torch.testing.assert_close(similarity.double(), expected, rtol=0, atol=1e-6)
    assert len(found) == 9 and None not in found  # all blocks but the first
