"""Exact search of nearest neighbours by cosine, in blocks that fit into a cache."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import torch
from torch import Tensor

# Rows of queries and of bank whose similarities are held at once: 32 MiB of float32 on a CPU,
# which its last cache may hold; more on a GPU, where a block has to keep all cores busy.
_QUERIES, _BANK = 2048, dict(cpu=4096, cuda=65536)
_GROUP = 8
# How far the product of two rows of unit length in bfloat16 may lie from theirs: the rounding of
# each row and of the product, 2⁻⁸ each, and a little for that of the sums.
_ROUNDING = 0.012


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

    Where a CPU multiplies bfloat16 faster, that says which rows come into question; the cosines of
    these are then computed in float32, so that what is found is the same.

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
    coarse = device.type == 'cpu' and _has_bfloat16()
    roughly = wanted.bfloat16() if coarse else None
    for start in range(0, number, step):
        block = _unit(bank, slice(start, start + step), device)  # (n, D)
        # Before, more rows come into question than can be looked at one by one.
        early = start < max(1, k * step // 16)
        rough_block = block.bfloat16().t() if coarse and not early else None
        for first in range(0, rows, _QUERIES):
            part = slice(first, first + _QUERIES)
            query = wanted[part]
            found = None
            if coarse and not early:
                found = _candidates(query, block, roughly[part] @ rough_block, best[part, -1])
                coarse = found is not None
            if found is None:
                shape = len(query), len(block)
                similarity = buffer[: shape[0] * shape[1]].view(shape)
                torch.mm(query, block.t(), out=similarity)
                found = _largest(similarity, best[part])
            values, columns = found
            best[part], kept = torch.cat([best[part], values], 1).topk(k, dim=1)
            index[part] = torch.cat([index[part], columns + start], 1).gather(1, kept)
    return best, index


@cache
def _has_bfloat16() -> bool:
    """Whether this CPU multiplies bfloat16, and torch says so."""
    can = getattr(torch.cpu, 'get_capabilities', dict)()
    return bool(can.get('avx512_bf16') or can.get('amx_bf16'))


def _unit(parts: Sequence[Tensor], rows: slice, device: torch.device) -> Tensor:
    """Rows (n, ΣD) of unit length."""
    block = torch.cat([part[rows].to(device) for part in parts], dim=1)
    return torch.nn.functional.normalize(block, dim=1)


def _largest(similarity: Tensor, best: Tensor) -> tuple[Tensor, Tensor]:
    """What of a block (m, n) may be among the k largest beside those found so far (m, k).

    After the first block hardly any similarity is large enough. The largest of each group of
    columns tells where to look, so that a block costs little more than reading it once.

    Returns:
        tuple[Tensor, Tensor]: Similarities (m, c) and their columns; −∞ where there are fewer.
    """
    k, threshold = best.shape[1], best[:, -1]
    if threshold.isinf().any():  # fewer than k were seen
        if similarity.shape[1] // _GROUP < k:
            return similarity.topk(min(k, similarity.shape[1]), dim=1)
        # In k groups there is something as large as the k-th largest of their largest ones.
        threshold = _grouped(similarity).amax(1).topk(k, dim=1).values[:, -1]
        threshold = threshold.nextafter(threshold.new_tensor(-torch.inf))
    return _by_row(*_above(similarity, threshold), len(similarity))


def _candidates(
    query: Tensor, block: Tensor, roughly: Tensor, threshold: Tensor
) -> tuple[Tensor, Tensor] | None:
    """Cosines above the threshold (m, ) of queries (m, D) and a block (n, D), as above.

    None if too many come into question by the rough ones (m, n).
    """
    found = _above(roughly, threshold - _ROUNDING, roughly.numel() // 128)
    if found is None:
        return None
    row, column, _ = found
    value = torch.linalg.vecdot(query[row], block[column])
    large = value > threshold[row]
    return _by_row(row[large], column[large], value[large], len(query))


def _grouped(similarity: Tensor) -> Tensor:
    """(m, n) → (m, members of a group, groups), without the columns that make no group."""
    groups = similarity.shape[1] // _GROUP
    return similarity[:, : groups * _GROUP].unflatten(1, (_GROUP, groups))


def _above(
    similarity: Tensor, threshold: Tensor, most: int | None = None
) -> tuple[Tensor, Tensor, Tensor] | None:
    """Rows, columns and values of what is above the threshold (m, ) of its row in (m, n).

    None if there are more than ``most`` groups of columns to be looked at.
    """
    grouped = _grouped(similarity)
    groups = grouped.shape[2]
    row, group = (grouped.amax(1) > threshold[:, None]).nonzero(as_tuple=True)
    if most is not None and len(row) > most:
        return None
    members = grouped[row, :, group]  # (groups to be looked at, _GROUP)
    hit, member = (members > threshold[row, None]).nonzero(as_tuple=True)
    rest = similarity[:, groups * _GROUP :]  # columns that make no group
    more, last = (rest > threshold[:, None]).nonzero(as_tuple=True)
    return (
        torch.cat([row[hit], more]),
        torch.cat([group[hit] + member * groups, last + groups * _GROUP]),
        torch.cat([members[hit, member], rest[more, last]]),
    )


def _by_row(row: Tensor, column: Tensor, value: Tensor, rows: int) -> tuple[Tensor, Tensor]:
    """Values in the row that each belongs to (rows, c), and their columns.

    Rows with fewer than c are filled up with −∞.
    """
    row, order = row.sort(stable=True)
    counts = row.bincount(minlength=rows)
    place = torch.arange(len(row), device=row.device) - (counts.cumsum(0) - counts)[row]
    shape = rows, int(counts.max())
    values = value.new_full(shape, -torch.inf)
    columns = column.new_zeros(shape)
    values[row, place], columns[row, place] = value[order], column[order]
    return values, columns
