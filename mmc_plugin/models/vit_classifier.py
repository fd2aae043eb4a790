"""mmpretrain's classifier around a pretrained ViT of any width."""

from __future__ import annotations

import logging
from typing import Any

from mmengine.logging import print_log
from mmpretrain.models import ImageClassifier
from mmpretrain.registry import MODELS

from ..errors import InputError


@MODELS.register_module()
class ViTClassifier(ImageClassifier):
    """mmpretrain's classifier whose head is as wide as its backbone, which the checkpoint tells.

    Args:
        backbone (dict): Config of a ViT that returns all tokens (``out_type='raw'``).
        head (dict): Config of a :class:`TokenClsHead`, without ``embed_dims``.
        **kwargs: Of :class:`mmpretrain.models.ImageClassifier`.
    """

    def __init__(self, backbone: dict, head: dict, **kwargs: Any) -> None:
        backbone = MODELS.build(backbone)
        if backbone.out_type != 'raw':
            raise InputError(
                f"model.backbone.out_type must be 'raw', all tokens, got {backbone.out_type!r}."
            )
        super().__init__(backbone, head=dict(head, embed_dims=backbone.embed_dims), **kwargs)
        self._compare_normalisation()

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
