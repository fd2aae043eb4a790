"""The head of frozen linear segmentation."""

from __future__ import annotations

from collections.abc import Sequence

from mmcv.cnn import build_norm_layer
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.models.losses import accuracy
from mmseg.models.utils import resize
from mmseg.registry import MODELS
from torch import Tensor, nn


@MODELS.register_module()
class LinearHead(BaseDecodeHead):
    """Several layers of a backbone, normalised channel by channel, and a 1×1 convolution.

    The layers are resized to the grid of the first one and concatenated; the norm puts channels
    of all layers on one scale (arXiv 2308.11448, Table 3). mmseg's ``FCNHead(num_convs=0)`` is this
    head without the norm.

    Args:
        in_channels (Sequence[int]): Channels of each of the backbone's outputs.
        norm_cfg (dict): Norm over all channels. ``SyncBN`` needs GPUs when several processes
            train; on CPUs use ``BN``. Defaults to ``dict(type='SyncBN')``.
        dropout_ratio (float): Defaults to 0.
        **kwargs: Of ``BaseDecodeHead``, such as ``num_classes``.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        norm_cfg: dict | None = None,
        dropout_ratio: float = 0.0,
        **kwargs,
    ) -> None:
        super().__init__(
            in_channels=in_channels,
            channels=sum(in_channels),
            in_index=list(range(len(in_channels))),
            input_transform='resize_concat',
            norm_cfg=norm_cfg or dict(type='SyncBN'),
            dropout_ratio=dropout_ratio,
            **kwargs,
        )
        self.norm = build_norm_layer(self.norm_cfg, self.channels)[1]

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        """Logits.

        Args:
            inputs (Sequence[Tensor]): Outputs of the backbone, each (B, C_i, h_i, w_i).

        Returns:
            Tensor: (B, num_classes, h, w) on the grid of the first layer.
        """
        return self.cls_seg(self.norm(self._transform_inputs(inputs)))

    def loss_by_feat(self, seg_logits: Tensor, batch_data_samples: list) -> dict[str, Tensor]:
        """Losses at the labels' resolution, and ``acc_seg``, for the log, at that of the logits.

        mmseg's own has the accuracy of each pixel too, which takes a tenth of an iteration where
        there are 150 classes and the backbone is frozen.

        Args:
            seg_logits (Tensor): (B, num_classes, h, w).
            batch_data_samples (list[SegDataSample]): With ``gt_sem_seg`` of (1, H, W).

        Returns:
            dict[str, Tensor]: Scalars.
        """
        labels = self._stack_batch_gt(batch_data_samples)  # (B, 1, H, W)
        logits = resize(
            seg_logits, size=labels.shape[2:], mode='bilinear', align_corners=self.align_corners
        )
        weight = None if self.sampler is None else self.sampler.sample(logits, labels)
        several = isinstance(self.loss_decode, nn.ModuleList)
        losses: dict[str, Tensor] = {}
        for term in self.loss_decode if several else [self.loss_decode]:
            value = term(logits, labels.squeeze(1), weight=weight, ignore_index=self.ignore_index)
            losses[term.loss_name] = losses.get(term.loss_name, 0) + value
        coarse = resize(labels.float(), size=seg_logits.shape[2:], mode='nearest').long().squeeze(1)
        losses['acc_seg'] = accuracy(seg_logits, coarse, ignore_index=self.ignore_index)
        return losses
