"""Contrastive mask prediction, after what is known of MaskCo (arXiv 2108.07954)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from mmpretrain.registry import MODELS
from torch import Tensor, nn

from ...errors import InputError
from ..utils.corruption import patch_mask
from ..utils.feature_queue import FeatureQueue
from ..utils.roi_align import roi_align
from .base import StudentTeacher
from .checks import check_head, check_hides_patches, check_inputs
from .seen import Seen


@MODELS.register_module()
class MaskCo(StudentTeacher):
    """The hidden region of one view predicts the same region of the other, among other regions.

    MaskCo-style, not reproduced: the paper's abstract and the words of one of its figures are all
    that is known; the rest is ours, on a vision transformer.

    Dimensions: B images of a process, R regions, h×w patches, D token width, C width of the
    embeddings.

    Args:
        backbone (dict): :class:`PretrainedViT` with ``out_type='raw'`` and ``frozen=False``, which
            can hide patches.
        head (dict): Embeds regions, see :class:`ProjectionMLP`.
        mask_head (dict | None): See :class:`MaskPredictionHead`; the student's alone. None: the
            student's tokens as they are.
        queue_length (int): Keys of former batches that are negatives. Defaults to 65536 [MoCo v2].
        temperature (float): τ. Defaults to 0.2 [MoCo v2].
        bins (int): Of a region's side, see :func:`roi_align`; their mean is embedded. Defaults
            to 7.
        max_iou (float): Other regions of the image are negatives if they share less with the
            hidden one; 0 for none. Defaults to 0.3.
        **kwargs: Of :class:`StudentTeacher`: momenta, data preprocessor, initialisation.

    Raises:
        ValueError: If a value is out of range, the backbone cannot hide patches, or the head is of
            another kind.
    """

    def __init__(
        self,
        backbone: dict,
        head: dict,
        mask_head: dict | None,
        queue_length: int = 65536,
        temperature: float = 0.2,
        bins: int = 7,
        max_iou: float = 0.3,
        **kwargs: Any,
    ) -> None:
        heads = dict(head=head, mask_head=mask_head)
        super().__init__(backbone, heads=heads, follows=('backbone', 'head'), **kwargs)
        if not 0 < temperature < math.inf or bins < 1 or not 0 <= max_iou <= 1:
            raise InputError(
                'MaskCo needs a positive temperature, bins of at least 1 and max_iou in [0, 1], '
                f'got {temperature}, {bins} and {max_iou}.'
            )
        check_hides_patches(self, self.backbone)
        check_head(self, 'ProjectionMLP', 'out_channels')
        self.mask_token = nn.Parameter(torch.zeros(1, self.backbone.embed_dims))
        self.queue = FeatureQueue(queue_length, self.head.out_channels)
        self.temperature, self.bins, self.max_iou = temperature, bins, max_iou

    def seen(self, inputs: Mapping, noise: Tensor | None = None) -> Seen:
        """The first view, with the patches that the mask token stands for."""
        check_inputs(self, inputs, 'regions', crops=False)
        views = inputs['views'][:1]
        # Without a mask too the mask token takes part: data parallelism waits for its gradient.
        mask = inputs['mask'][:1] if 'mask' in inputs else torch.zeros_like(views[:, :, 0]).bool()
        return Seen(views, 'masked', patch_mask(mask, self.patch_size))

    def loss(self, inputs: dict, data_samples: list | None = None) -> dict[str, Tensor]:
        """−log [e^{q·k/τ} / (e^{q·k/τ} + Σ_queue e^{q·n/τ} + Σ_{IoU < .3} e^{q·k_s/τ})] of a batch.

        Args:
            inputs (dict): Output of :class:`ViewDataPreprocessor`: ``views`` (2, B, 3, H, W), the
                first is the student's; ``regions`` (2, B, R, 4) in pixels, the first is the hidden
                one; optionally ``mask`` (2, B, H, W).
            data_samples (list, optional): Unused, of the host's interface.

        Returns:
            dict[str, Tensor]: ``loss_region``.
        """
        seen = self.seen(inputs)
        dirty, masked = seen.views[0], seen.hidden[0]  # (B,3,H,W), (B,N)
        clean, regions = inputs['views'][1], inputs['regions']
        regions = regions / regions.new_tensor([*clean.shape[-2:]]).flip(0).repeat(2)
        _, student = self.encode(self.backbone, dirty, masked, mask_token=self.mask_token)
        if self.mask_head is not None:
            student = self.mask_head(student)
        query = self.head(self.pool(student, regions[0, :, :1], dirty))[:, 0]  # (B,C)
        with torch.no_grad():
            _, teacher = self.encode(self.teacher.backbone, clean)
            keys = self.teacher.head(self.pool(teacher, regions[1], clean))  # (B,R,C)
            near = box_iou(regions[1, :, :1], regions[1]) >= self.max_iou  # (B,R); the first is

        queue = self.queue.rows.clone()  # of this step: the queue moves before its gradient
        loss = region_contrast(query, keys, near, queue, self.temperature)
        self.queue.push(keys[:, 0])
        return dict(loss_region=loss)

    def pool(self, tokens: Tensor, regions: Tensor, images: Tensor) -> Tensor:
        """Means of patch tokens (B, N, D) over regions (B, R, 4) in [0, 1]: (B, R, D)."""
        rows = images.shape[-2] // self.patch_size
        grid = tokens.unflatten(1, (rows, -1))
        return roi_align(grid, regions, self.bins).mean((2, 3))


def region_contrast(
    query: Tensor, keys: Tensor, near: Tensor, queue: Tensor, temperature: float
) -> Tensor:
    """InfoNCE of each image's query with its first key, in float32.

    Args:
        query (Tensor): Unit rows (B, C).
        keys (Tensor): Unit rows (B, R, C) of the regions of the same images.
        near (Tensor): (B, R) bool, keys that are no negatives, the first among them.
        queue (Tensor): Unit rows (L, C), negatives of all.
        temperature (float): τ.

    Returns:
        Tensor: Scalar, the mean over the images.
    """
    with torch.autocast(query.device.type, enabled=False):
        positive = (query * keys[:, 0]).sum(1, keepdim=True)
        others = (query[:, None] * keys).sum(-1).masked_fill(near, -torch.inf)
        logits = torch.cat([positive, query @ queue.T, others], 1) / temperature
        return F.cross_entropy(logits, logits.new_zeros(len(logits), dtype=torch.long))


def box_iou(one: Tensor, other: Tensor) -> Tensor:
    """Intersection over union of boxes (..., 4) (left, top, right, bottom): (...)."""
    low = torch.maximum(one[..., :2], other[..., :2])
    high = torch.minimum(one[..., 2:], other[..., 2:])
    both = (high - low).clamp(min=0).prod(-1)
    areas = [(each[..., 2:] - each[..., :2]).prod(-1) for each in (one, other)]
    return both / (areas[0] + areas[1] - both)
