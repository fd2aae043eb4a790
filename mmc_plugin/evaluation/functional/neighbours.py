"""Exact search of nearest neighbours by cosine, in blocks that fit into a cache."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

# Rows of queries and of bank whose similarities are held at once: 16 MiB of float32 on a CPU,
# which its last cache may hold; more on a GPU, where a block has to keep all cores busy.
_QUERIES, _BANK = 1024, dict(cpu=4096, cuda=65536)
_GROUP = 32


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
    best = wanted.new_empty(rows, 0)
    index = torch.empty(rows, 0, dtype=torch.long, device=device)
    buffer = wanted.new_empty(min(_QUERIES, rows) * min(step, number))
    for start in range(0, number, step):
        block = _unit(bank, slice(start, start + step), device).t()  # (D, n)
        found = []
        for query in wanted.split(_QUERIES):
            shape = len(query), block.shape[1]
            similarity = buffer[: shape[0] * shape[1]].view(shape)
            torch.mm(query, block, out=similarity)
            found.append(_top(similarity, min(k, block.shape[1])))
        values, places = (torch.cat(each) for each in zip(*found, strict=True))
        best, index = torch.cat([best, values], 1), torch.cat([index, places + start], 1)
        best, kept = best.topk(min(k, best.shape[1]), dim=1)
        index = index.gather(1, kept)
    return best, index


def _unit(parts: Sequence[Tensor], rows: slice, device: torch.device) -> Tensor:
    """Rows (n, ΣD) of unit length."""
    block = torch.cat([part[rows].to(device) for part in parts], dim=1)
    return torch.nn.functional.normalize(block, dim=1)


def _top(similarity: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """``similarity.topk(k)`` of (m, n), by way of the largest of each group of columns.

    What is among the k largest lies in one of the k groups whose largest are the largest.
    """
    groups = similarity.shape[1] // _GROUP
    if groups < 4 * k:
        return similarity.topk(k, dim=1)
    grouped = groups * _GROUP
    largest = similarity[:, :grouped].unflatten(1, (_GROUP, groups)).amax(1)  # (m, groups)
    chosen = largest.topk(k, dim=1, sorted=False).indices
    offsets = torch.arange(0, grouped, groups, device=chosen.device)
    columns = (chosen[:, :, None] + offsets).flatten(1)  # (m, k · group)
    rest = torch.arange(grouped, similarity.shape[1], device=chosen.device)
    columns = torch.cat([columns, rest.expand(len(columns), -1)], 1)
    values, place = similarity.gather(1, columns).topk(k, dim=1)
    return values, columns.gather(1, place)
