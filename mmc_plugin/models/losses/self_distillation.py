"""What a student learns from a teacher's distribution over prototypes: pure functions."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from mmengine.dist import all_reduce, get_world_size
from torch import Tensor

# Dimensions: U teacher views, V student views, B images of a process, K prototypes.


def cross_entropy(logits: Tensor, targets: Tensor, temperature: float) -> Tensor:
    """H(p, q) = −Σ_k p_k log q_k with q = softmax(logits / temperature), in float32.

    Args:
        logits (Tensor): (..., K), of the student.
        targets (Tensor): (..., K), distributions p.
        temperature (float): Of the student.

    Returns:
        Tensor: (...).
    """
    return -(targets * F.log_softmax(logits.float() / temperature, dim=-1)).sum(-1)


def crossed_views(logits: Tensor, targets: Tensor, temperature: float) -> Tensor:
    """Mean over pairs of a teacher's and another student's view of their cross entropy.

    1/(U(V − 1)) Σ_u Σ_{v ≠ u} mean_B H(p^u, q^v) (DINO release, arXiv 2104.14294, eq. 3).

    Args:
        logits (Tensor): (V, B, K), of the student; the first U views are those of the teacher.
        targets (Tensor): (U, B, K), distributions.
        temperature (float): Of the student.

    Returns:
        Tensor: Scalar.
    """
    log_q = F.log_softmax(logits.float() / temperature, dim=-1)
    others = log_q.sum(0) - log_q[: len(targets)]  # (U,B,K): sums over the views v ≠ u
    pairs = len(targets) * (len(logits) - 1)
    return -(targets * others).sum(-1).mean(1).sum() / pairs


@torch.no_grad()
def sinkhorn(probabilities: Tensor, rounds: int = 3) -> Tensor:
    """Distributions of a batch, moved to use all prototypes alike (SwAV, MSN releases).

    Args:
        probabilities (Tensor): (B, K), not negative.
        rounds (int): How often prototypes, then images, are normalised. Defaults to 3.

    Returns:
        Tensor: (B, K); each row sums to 1, each column, over all processes, to nearly B·W / K.
    """
    share = probabilities.float()
    tiny = torch.finfo(share.dtype).tiny
    number, prototypes = len(share) * get_world_size(), share.shape[1]
    share = share / _summed(share.sum())
    for _ in range(rounds):
        # A prototype that no image of the batch has any of stays unused: 0 / 0 is nothing here.
        share = share / (_summed(share.sum(0)) * prototypes).clamp(min=tiny)
        share = share / (share.sum(1, keepdim=True) * number)
    return share * number


def mean_entropy_gap(probabilities: Tensor) -> Tensor:
    """ln K − H(p̄), with p̄ the mean over all rows of all processes; 0 if all are used alike (MSN).

    Args:
        probabilities (Tensor): (..., K), with equally many rows on each process.

    Returns:
        Tensor: Scalar, the same on all processes; the average over processes of its gradients is
        the gradient of the whole batch.
    """
    mine = probabilities.flatten(0, -2).mean(0)
    mean = mine + (_summed(mine.detach()) / get_world_size() - mine.detach())
    # The logarithm of 0 would have no gradient.
    entropy = -(mean * mean.clamp(min=torch.finfo(mean.dtype).tiny).log()).sum()
    return math.log(len(mean)) - entropy


@torch.no_grad()
def usage(targets: Tensor) -> dict[str, Tensor]:
    """How many prototypes the targets (..., K) of this process use, where a collapse shows first.

    Returns:
        dict[str, Tensor]: Scalars: ``codes``, the number of prototypes that are the largest of a
        row; ``target_entropy``, the mean entropy of a row in nats.
    """
    rows = targets.flatten(0, -2)
    used = rows.new_zeros(rows.shape[1]).index_fill_(0, rows.argmax(1), 1)
    return dict(codes=used.sum(), target_entropy=-torch.special.xlogy(rows, rows).sum(1).mean())


def _summed(value: Tensor) -> Tensor:
    """Sum over the processes; the tensor itself may be overwritten."""
    value = value.contiguous()
    all_reduce(value)
    return value
