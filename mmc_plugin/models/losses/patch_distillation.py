"""Cross entropy of patches over prototypes: logits exist where the loss needs them only."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from .centering import Centering
from .self_distillation import cross_entropy


def patch_cross_entropy(
    student: Tensor,
    teacher: Tensor,
    chosen: Tensor | None,
    head: nn.Module,
    teacher_head: nn.Module,
    centering: Centering,
    temperature: float,
    teacher_temperature: Tensor | float,
    max_logits: int = 2**25,
) -> Tensor:
    """Mean over images of the mean over their chosen patches of H(teacher, student).

    Logits (rows, K) are made for at most ``max_logits`` values at once and made again in the
    backward pass, so that memory does not grow with patches times prototypes. The centre moves by
    the mean over all patches of the teacher's logits, which are linear: it is the logits of the
    mean embedding.

    Dimensions: V views, B images of a process, N patches, D token width, K prototypes.

    Args:
        student (Tensor): Patch tokens (V, B, N, D).
        teacher (Tensor): Likewise, of the same patches.
        chosen (Tensor, optional): (V, B, N) bool; an image without a chosen patch counts as 0. None
            for all patches, which nothing has to look for.
        head (nn.Module): The student's :class:`PrototypeHead`.
        teacher_head (nn.Module): The teacher's.
        centering (Centering): Of the teacher's patch logits; its centre is moved.
        temperature (float): Of the student.
        teacher_temperature (Tensor | float): Of the teacher, a scalar.
        max_logits (int): Logits in a block. Defaults to 2**25 (128 MiB).

    Returns:
        Tensor: Scalar.
    """
    images, patches = student.shape[:-2].numel(), student.shape[-2]
    rows, weights = slice(None), 1 / patches
    if chosen is not None:
        rows = chosen.flatten().nonzero().squeeze(1)
        weights = 1 / chosen.sum(-1, keepdim=True).clamp(min=1)  # (V,B,1)
        weights = weights.expand(chosen.shape).flatten()[rows]
    with torch.no_grad():
        embedded = teacher_head.embed(teacher).flatten(0, -2)  # (V·B·N,C)
        teacher_prototypes = teacher_head.patch_prototypes()  # (K,C)
        mean = F.linear(embedded.mean(0), teacher_prototypes)
        embedded = embedded[rows]
    predicted = head.embed(student.flatten(0, -2)[rows])
    prototypes = head.patch_prototypes()

    center = centering.center.clone()  # a block made again must see that of the first time

    def block(predicted: Tensor, embedded: Tensor) -> Tensor:
        logits = F.linear(embedded, teacher_prototypes)
        targets = centering(logits, teacher_temperature, center)
        return cross_entropy(F.linear(predicted, prototypes), targets, temperature)

    size = max(max_logits // head.num_prototypes, 1)
    blocks = list(zip(predicted.split(size), embedded.split(size), strict=True))
    if len(blocks) > 1:
        losses = torch.cat([checkpoint(block, *each, use_reentrant=False) for each in blocks])
    else:
        losses = block(*blocks[0])
    centering.update(mean)
    return (losses * weights).sum() / images
