"""InfoNCE against the keys of other groups, in blocks: no matrix of all logits, ever."""

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable

from ...errors import InputError

# Dimensions: Q queries, K keys, D width, R query rows in one block.


def info_nce(
    queries: Tensor,
    positives: Tensor,
    keys: Tensor,
    query_groups: Tensor,
    key_groups: Tensor,
    temperature: float = 0.2,
    max_logits: int = 2**24,
) -> Tensor:
    r"""Contrast every query with its positive and with the keys of all other groups.

    For query i, with s(a, b) = a·b / temperature (MMC, arXiv 2308.11448, patch-level and global
    contrast; a group is an image there):

    .. math::
        -\log \frac{e^{s(q_i, p_i)}}
                   {e^{s(q_i, p_i)} + \sum_{j: g_j \neq g_i} e^{s(q_i, k_j)}}

    Keys of the query's own group stay out of the denominator; a query without any key of another
    group has loss 0. Logits exist for at most ``max_logits`` pairs at a time and none are kept for
    backward, so memory is linear in Q + K in both directions. Nothing waits for the device.

    Logits and log-sum-exp are float32 (float64 where an input is), whatever autocast or the input
    dtypes say; gradients come back in the dtype of each input. Any subset of queries, positives
    and keys may need gradients, and the work of the others is skipped. Gradients of gradients are
    not available.

    Args:
        queries (Tensor): (Q, D), L2-normalised by the caller, floating point.
        positives (Tensor): (Q, D), L2-normalised; row i belongs to query i.
        keys (Tensor): (K, D), L2-normalised, K ≥ 1. They may include the positives: these are of
            the query's group and so leave the sum.
        query_groups (Tensor): (Q,) int64. Unique over processes where keys are gathered.
        key_groups (Tensor): (K,) int64.
        temperature (float): Divisor of the cosines. Default 0.2 (MMC).
        max_logits (int): Size of a block in logits (4 bytes each); one row of K is the least.
            Changes memory and speed only. Default 2**24 (64 MiB).

    Returns:
        Tensor: Scalar, the mean over queries, 0 for Q = 0; float32 (or float64).

    Raises:
        ValueError: If shapes disagree, there is no key, or an option is out of range.
    """
    if temperature <= 0 or max_logits < 1:
        raise InputError(
            'temperature and max_logits must be positive, '
            f'got temperature={temperature}, max_logits={max_logits}'
        )
    if queries.dim() != 2 or positives.shape != queries.shape:
        raise InputError(
            'queries and positives must have one shape (Q, D), '
            f'got {tuple(queries.shape)} and {tuple(positives.shape)}'
        )
    if keys.dim() != 2 or keys.shape[1] != queries.shape[1] or not len(keys):
        raise InputError(
            f'keys must have shape (K, {queries.shape[1]}) with K ≥ 1, got {tuple(keys.shape)}'
        )
    if query_groups.shape != queries.shape[:1] or key_groups.shape != keys.shape[:1]:
        raise InputError(
            f'query_groups and key_groups must have shapes ({len(queries)},) and ({len(keys)},), '
            f'got {tuple(query_groups.shape)} and {tuple(key_groups.shape)}'
        )
    dtype = torch.float32
    for tensor in (queries, positives, keys):
        dtype = torch.promote_types(dtype, tensor.dtype)
    return _InfoNCE.apply(
        queries.to(dtype),
        positives.to(dtype),
        keys.to(dtype),
        query_groups,
        key_groups,
        temperature,
        max_logits,
    )


class _InfoNCE(torch.autograd.Function):
    """The loss is logistic in gap = logsumexp(negative logits) - positive logit.

    With pull = sigmoid(gap), which is 1 - softmax of the positive, and share_j = pull · softmax of
    key j among the negatives, the gradients of one query's loss are

        query:    (Σ_j share_j key_j - pull positive) / temperature
        positive: -pull query / temperature
        key j:    share_j query / temperature

    All queries have one upstream gradient, that of the mean, so forward finishes them while the
    block's logits are there, and backward only scales them.
    """

    @staticmethod
    def forward(
        ctx: FunctionCtx,
        queries: Tensor,
        positives: Tensor,
        keys: Tensor,
        query_groups: Tensor,
        key_groups: Tensor,
        temperature: float,
        max_logits: int,
    ) -> Tensor:
        need_queries, need_positives, need_keys = ctx.needs_input_grad[:3]
        num_queries = len(queries)
        gaps = queries.new_empty(num_queries)
        grad_queries = torch.empty_like(queries) if need_queries else None  # times temperature
        grad_keys = torch.zeros_like(keys) if need_keys else None  # times temperature · Q

        # No gradients here in any case, but the compiler of PyTorch 2.5 believes in some.
        with torch.no_grad(), torch.autocast(queries.device.type, enabled=False):
            logits = _logit_block(queries, keys, max_logits)  # (R, K)
            for start in range(0, num_queries, len(logits)):
                rows = slice(start, start + len(logits))
                query, positive = queries[rows], positives[rows]  # (R, D)
                exps, total, gap = _contrast(
                    query, positive, keys, query_groups[rows], key_groups, temperature, logits
                )
                gaps[rows] = gap[:, 0]
                pull = gap.sigmoid_()
                if need_queries:
                    grad = torch.mm(exps, keys, out=grad_queries[rows])
                    grad.mul_(pull / total).addcmul_(positive, pull, value=-1)
                if need_keys:
                    grad_keys.addmm_(exps.t(), query * (pull / total))

        ctx.temperature, ctx.num_queries = temperature, max(num_queries, 1)
        for_positives = (gaps, queries) if need_positives else (None, None)
        ctx.save_for_backward(grad_queries, grad_keys, *for_positives)
        return -F.logsigmoid(-gaps).sum() / ctx.num_queries

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, upstream: Tensor) -> tuple[Tensor | None, ...]:
        grad_queries, grad_keys, gaps, queries = ctx.saved_tensors
        scale = upstream / (ctx.temperature * ctx.num_queries)
        grad_positives = None
        if gaps is not None:
            grad_positives = queries * (-gaps.sigmoid()[:, None] * scale)
        if grad_queries is not None:
            grad_queries = grad_queries * scale
        if grad_keys is not None:
            grad_keys = grad_keys * scale
        return grad_queries, grad_positives, grad_keys, None, None, None, None


def _logit_block(queries: Tensor, keys: Tensor, max_logits: int) -> Tensor:
    """The one buffer (R, K) that all blocks of query rows share."""
    rows = min(max(max_logits // len(keys), 1), max(len(queries), 1))
    return queries.new_empty(rows, len(keys))


def _contrast(
    query: Tensor,
    positive: Tensor,
    keys: Tensor,
    query_group: Tensor,
    key_group: Tensor,
    temperature: float,
    buffer: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:
    """Compare one block of queries with all keys.

    Returns:
        Exponentials (R, K) of the negative logits less their row's maximum, 0 at keys of the
        query's own group, in the buffer; their sum (R, 1), or 1 where there are no negatives;
        gap (R, 1) = logsumexp(negative logits) - positive logit, -inf where there are none.
    """
    logits = buffer[: len(query)].addmm_(query, keys.t(), beta=0, alpha=1 / temperature)
    logits.masked_fill_(query_group[:, None] == key_group, float('-inf'))
    # A finite maximum for rows without negatives: -inf minus itself would be NaN.
    maximum = logits.amax(1, keepdim=True).clamp_(min=torch.finfo(logits.dtype).min)
    exps = logits.sub_(maximum).exp_()
    total = exps.sum(1, keepdim=True)
    gap = total.log().add_(maximum)
    gap.sub_((query * positive).sum(1, keepdim=True), alpha=1 / temperature)
    # Wherever there are negatives the largest of them adds exp(0) = 1.
    return exps, total.clamp_(min=1), gap
