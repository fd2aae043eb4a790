"""mmpretrain's classifier around a pretrained ViT of any width."""

from __future__ import annotations

import logging
from typing import Any

import torch
from mmengine.logging import print_log
from mmpretrain.models import ImageClassifier
from mmpretrain.registry import MODELS
from torch import Tensor

from ..errors import InputError
from ..evaluation.image_batches import pixel_hashes


@MODELS.register_module()
class ViTClassifier(ImageClassifier):
    """mmpretrain's classifier whose head is as wide as its backbone, which the checkpoint tells.

    Args:
        backbone (dict): Config of a ViT that returns all tokens (``out_type='raw'``).
        head (dict): Config of a :class:`TokenClsHead` or :class:`AttentiveClsHead`, without
            ``embed_dims``.
        keep_bytes (int): Tokens of so many bytes are kept in the memory of the CPU, and an image
            with pixels that were seen before is not encoded again: for a frozen backbone and images
            without random changes. Defaults to 0: none is kept.
        **kwargs: Of :class:`mmpretrain.models.ImageClassifier`.

    Raises:
        ValueError: If the backbone returns other outputs, or is trained and its tokens are kept.
    """

    def __init__(self, backbone: dict, head: dict, keep_bytes: int = 0, **kwargs: Any) -> None:
        backbone = MODELS.build(backbone)
        if backbone.out_type != 'raw':
            raise InputError(
                f"model.backbone.out_type must be 'raw', all tokens, got {backbone.out_type!r}."
            )
        super().__init__(backbone, head=dict(head, embed_dims=backbone.embed_dims), **kwargs)
        if keep_bytes and not self.backbone.frozen:
            raise InputError(
                'model.keep_bytes is for a backbone that does not change: set '
                'model.backbone.frozen=True, or model.keep_bytes=0.'
            )
        self._room = keep_bytes
        self._kept: dict[tuple[int, bool], Tensor] = {}  # hash, mixed precision → (1 + N, D)
        self._compare_normalisation()

    def extract_feat(self, inputs: Tensor, stage: str = 'neck') -> tuple[Tensor, ...]:
        """Tokens of images.

        Args:
            inputs (Tensor): (B, 3, H, W), normalised.
            stage (str): Of mmpretrain, where ``'pre_logits'`` asks the head.

        Returns:
            tuple[Tensor, ...]: The last one (B, 1 + N, D), class token first.
        """
        if not (self._room or self._kept) or stage == 'pre_logits':
            return super().extract_feat(inputs, stage)
        mixed = torch.is_autocast_enabled(inputs.device.type)
        # Float pixels as four bytes each; not all at once, since the words of a hash have eight.
        keys = [
            (int(each), mixed)
            for part in inputs.contiguous().split(16)
            for each in pixel_hashes(part.view(torch.uint8))
        ]
        new = {key: i for i, key in enumerate(keys) if key not in self._kept}
        if not new:
            return (torch.stack([self._kept[key] for key in keys]).to(inputs.device),)
        found = dict(
            zip(new, super().extract_feat(inputs[list(new.values())], stage)[-1], strict=True)
        )
        for key, tokens in found.items():
            size = tokens.numel() * tokens.element_size()
            if size <= self._room:
                self._room -= size
                self._kept[key] = tokens.detach().to('cpu', copy=True)
        tokens = [found[key] if key in found else self._kept[key] for key in keys]
        return (torch.stack([each.to(inputs.device) for each in tokens]),)

    def _compare_normalisation(self) -> None:
        source = getattr(self.backbone, 'source', None)
        for name in ('mean', 'std'):
            told = getattr(source, name, None)
            own = getattr(self.data_preprocessor, name, None)
            own = None if own is None else own.flatten().tolist()
            if told and own and max(abs(a - b) for a, b in zip(told, own)) > 0.5:
                print_log(
                    f'The checkpoint says {name}={[round(each, 2) for each in told]} of its '
                    f'images, and model.data_preprocessor.{name} is '
                    f'{[round(each, 2) for each in own]}: set it to the former unless you mean it.',
                    logger='current',
                    level=logging.WARNING,
                )
