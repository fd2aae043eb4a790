"""A linear classifier on the class token, on the mean patch token, or on both."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mmpretrain.models.heads import LinearClsHead
from mmpretrain.registry import MODELS
from torch import Tensor

from ...errors import InputError

WIDTHS = dict(cls=1, pat=1, hybrid=2)  # in widths of a token


@MODELS.register_module()
class TokenClsHead(LinearClsHead):
    """mmpretrain's linear head on tokens of a ViT.

    Args:
        num_classes (int): C.
        embed_dims (int): D, of a token.
        kind (str): ``'cls'``, the class token; ``'pat'``, the mean of the patch tokens;
            ``'hybrid'``, both concatenated. Defaults to 'cls'.
        **kwargs: Of :class:`mmpretrain.models.LinearClsHead`.
    """

    def __init__(self, num_classes: int, embed_dims: int, kind: str = 'cls', **kwargs) -> None:
        if kind not in WIDTHS:
            raise InputError(f'model.head.kind must be one of {", ".join(WIDTHS)}, got {kind!r}.')
        super().__init__(num_classes, embed_dims * WIDTHS[kind], **kwargs)
        self.kind = kind

    def pre_logits(self, feats: Sequence[Tensor]) -> Tensor:
        """What is classified.

        Args:
            feats (Sequence[Tensor]): The last one (B, 1 + N, D), class token first.

        Returns:
            Tensor: (B, D), or (B, 2 D) for ``'hybrid'``.
        """
        tokens = feats[-1]
        parts = []
        if self.kind != 'pat':
            parts.append(tokens[:, 0])
        if self.kind != 'cls':
            parts.append(tokens[:, 1:].mean(1))
        return torch.cat(parts, 1)
