"""A classifier that asks all tokens with one learned query: attentive probing."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmengine.dist import get_rank
from mmpretrain.models.heads import LinearClsHead
from mmpretrain.registry import MODELS
from torch import Tensor, nn

from ...errors import InputError
from ..utils.distributed import gather_with_grad

STATISTICS = ('running', 'batch')


@MODELS.register_module()
class AttentiveClsHead(LinearClsHead):
    """Cross-attention of one learned query over all tokens, batch norm, and a linear layer.

    As CAE (arXiv 2202.03026) and the study of parts (arXiv 2301.11915) probe: layer norms of the
    query, the keys and the values, class token among the latter two; attention with an output
    projection and no residual; batch norm without affine parameters, in training over the batch of
    all processes; :class:`mmpretrain.models.LinearClsHead`. The bias of the keys, which the
    releases leave out, cannot change a softmax.

    Args:
        num_classes (int): C.
        embed_dims (int): D, of a token.
        num_heads (int): Of the attention, a divisor of D. Defaults to 12.
        test_statistics (str): What the batch norm takes in a test: ``'running'`` means of the
            training, or those of the test's own ``'batch'``, as the study's release does, so that
            scores depend on the size and the order of batches. Defaults to 'running'.
        **kwargs: Of :class:`mmpretrain.models.LinearClsHead`.

    Raises:
        ValueError: If a setting is another, or ``num_heads`` does not divide D.
    """

    def __init__(
        self,
        num_classes: int,
        embed_dims: int,
        num_heads: int = 12,
        test_statistics: str = 'running',
        **kwargs,
    ) -> None:
        if num_heads < 1 or embed_dims % num_heads:
            raise InputError(
                f'model.head.num_heads must divide the {embed_dims} channels of the tokens, got '
                f'{num_heads}.'
            )
        if test_statistics not in STATISTICS:
            raise InputError(
                f"model.head.test_statistics must be 'running' or 'batch', got {test_statistics!r}."
            )
        super().__init__(num_classes, embed_dims, **kwargs)
        self.test_statistics = test_statistics
        self.query = nn.Parameter(torch.zeros(1, 1, embed_dims))
        self.query_norm, self.key_norm, self.value_norm = (
            nn.LayerNorm(embed_dims, eps=1e-6) for _ in range(3)
        )
        self.attention = nn.MultiheadAttention(embed_dims, num_heads, batch_first=True)
        self.norm = nn.BatchNorm1d(embed_dims, affine=False)

    def init_weights(self) -> None:
        """Draw the linear layer as the host does, and the rest as the releases do."""
        super().init_weights()
        for weight in (self.query, self.attention.in_proj_weight, self.attention.out_proj.weight):
            nn.init.trunc_normal_(weight, std=0.02)
        nn.init.zeros_(self.attention.out_proj.bias)

    def pre_logits(self, feats: Sequence[Tensor]) -> Tensor:
        """What is classified.

        Args:
            feats (Sequence[Tensor]): The last one (B, 1 + N, D), class token first.

        Returns:
            Tensor: (B, D), normalised. In training a batch of one is normalised as in a test.
        """
        tokens = feats[-1]
        query = self.query_norm(self.query).expand(len(tokens), -1, -1)
        found, _ = self.attention(
            query, self.key_norm(tokens), self.value_norm(tokens), need_weights=False
        )
        found = found[:, 0].float()
        if not self.training:
            return self._normalise(found, self.test_statistics == 'batch')
        whole = gather_with_grad(found)
        normed = self.norm(whole) if len(whole) > 1 else self._normalise(whole, False)
        return normed.split(len(found))[get_rank()]

    def _normalise(self, found: Tensor, own: bool) -> Tensor:
        """By the statistics of the rows, or else by the running ones, which stay as they are."""
        running = (None, None) if own else (self.norm.running_mean, self.norm.running_var)
        return F.batch_norm(found, *running, training=own, eps=self.norm.eps)
