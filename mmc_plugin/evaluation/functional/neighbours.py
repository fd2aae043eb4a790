"""Exact search of nearest neighbours by cosine, in blocks that fit into a cache."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

# Rows of queries and of bank whose similarities are held at once: 32 MiB of float32 on a CPU,
# which its last cache may hold; more on a GPU, where a block has to keep all cores busy.
_QUERIES, _BANK = 2048, dict(cpu=4096, cuda=65536)
_GROUP = 8


def nearest_neighbours(
    bank: Sequence[Tensor],
    queries: Sequence[Tensor],
    k: int,
    device: str | torch.device | None = None,
) -> tuple[Tensor, Tensor]:
    """The k rows of a bank that have the highest cosine with each query, exactly.

    Rows may come in parts along their width, such as class token and mean patch token, which are
    then looked at as one concatenated row without ever being so in memory. The bank is read once,
    block after block, and may lie on another device; beside it, blocks of similarities and of
    normalised rows are held, and the queries.

    Args:
        bank (Sequence[Tensor]): Parts (N, D_i).
        queries (Sequence[Tensor]): Parts (M, D_i).
        k (int): Neighbours, at most N.
        device (str | torch.device, optional): To search on. Defaults to the bank's own.

    Returns:
        tuple[Tensor, Tensor]: Cosines (M, k), falling, and int64 (M, k) rows of the bank, on
        ``device``. A row of zeros has the cosine 0 with all.
    """
    device = torch.device(bank[0].device if device is None else device)
    number, rows = len(bank[0]), len(queries[0])
    step = _BANK.get(device.type, _BANK['cpu'])
    wanted = _unit(queries, slice(None), device)
    best = wanted.new_full((rows, k), -torch.inf)
    index = torch.zeros(rows, k, dtype=torch.long, device=device)
    buffer = wanted.new_empty(min(_QUERIES, rows) * min(step, number))
    for start in range(0, number, step):
        block = _unit(bank, slice(start, start + step), device).t()  # (D, n)
        for first in range(0, rows, _QUERIES):
            part = slice(first, first + _QUERIES)
            query = wanted[part]
            shape = len(query), block.shape[1]
            similarity = buffer[: shape[0] * shape[1]].view(shape)
            torch.mm(query, block, out=similarity)
            best[part], index[part] = _merge(best[part], index[part], similarity, start)
    return best, index


def _unit(parts: Sequence[Tensor], rows: slice, device: torch.device) -> Tensor:
    """Rows (n, ΣD) of unit length."""
    block = torch.cat([part[rows].to(device) for part in parts], dim=1)
    return torch.nn.functional.normalize(block, dim=1)


def _merge(best: Tensor, index: Tensor, similarity: Tensor, start: int) -> tuple[Tensor, Tensor]:
    """The largest (m, k) of those found so far and of a block (m, n) that begins at ``start``.

    After the first block hardly any similarity is large enough. The largest of each group of
    columns tells where to look, so that a block costs little more than reading it once.
    """
    k = best.shape[1]
    if best[:, -1].isinf().any():  # fewer than k were seen
        values, columns = similarity.topk(min(k, similarity.shape[1]), dim=1)
    else:
        values, columns = _above(similarity, best[:, -1])
    best, kept = torch.cat([best, values], 1).topk(k, dim=1)
    return best, torch.cat([index, columns + start], 1).gather(1, kept)


def _above(similarity: Tensor, threshold: Tensor) -> tuple[Tensor, Tensor]:
    """What is above the threshold (m, ) of its row in (m, n), and its columns, both (m, c).

    Rows with fewer than c such columns are filled up with −∞.
    """
    groups = similarity.shape[1] // _GROUP
    grouped = similarity[:, : groups * _GROUP].unflatten(1, (_GROUP, groups))
    row, group = (grouped.amax(1) > threshold[:, None]).nonzero(as_tuple=True)
    member = torch.arange(_GROUP, device=row.device)
    row, column = row.repeat_interleave(_GROUP), (group[:, None] + member * groups).flatten()
    rest = similarity[:, groups * _GROUP :] > threshold[:, None]  # columns that make no group
    more, last = rest.nonzero(as_tuple=True)
    row, column = torch.cat([row, more]), torch.cat([column, last + groups * _GROUP])
    value = similarity[row, column]
    large = value > threshold[row]
    row, order = row[large].sort(stable=True)
    value, column = value[large][order], column[large][order]

    counts = row.bincount(minlength=len(similarity))
    place = torch.arange(len(row), device=row.device) - (counts.cumsum(0) - counts)[row]
    shape = len(similarity), int(counts.max())
    values = similarity.new_full(shape, -torch.inf)
    columns = column.new_zeros(shape)
    values[row, place], columns[row, place] = value, column
    return values, columns
