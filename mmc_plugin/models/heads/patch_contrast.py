"""Contrast of patch tokens between images (arXiv 2308.11448, §3)."""

import torch
from mmengine.dist import get_rank
from mmpretrain.registry import MODELS

from ...errors import InputError
from ..losses.info_nce import info_nce
from ..utils.distributed import gather_with_grad, global_mean
from .projection import ProjectionMLP


@MODELS.register_module()
class PatchContrastHead(ProjectionMLP):
    """Projects patch tokens and contrasts each with the patches of the other images.

    The positive of a patch is the same patch of the teacher; the other patches of the same image
    are neither positives nor negatives (paper, §3).

    Args:
        temperature (float): τ. Defaults to 0.2 (paper, §4).
        queries (str): ``'all'`` positions or the ``'masked'`` ones only. Defaults to ``'all'``.
        gather_keys (bool): Take negatives from all processes instead of the own batch only.
            Defaults to False: the own batch already gives B * N keys.
        **kwargs: See :class:`ProjectionMLP`.
    """

    def __init__(
        self,
        *args,
        temperature: float = 0.2,
        queries: str = 'all',
        gather_keys: bool = False,
        **kwargs,
    ) -> None:
        super().__init__(*args, **kwargs)
        if queries not in ('all', 'masked'):
            raise InputError(f"queries must be 'all' or 'masked', got {queries!r}.")
        self.temperature = temperature
        self.queries = queries
        self.gather_keys = gather_keys

    def loss(self, queries: torch.Tensor, keys: torch.Tensor, masked: torch.Tensor) -> torch.Tensor:
        """InfoNCE of each patch against the same patch of the teacher.

        Args:
            queries (torch.Tensor): (B, N, C) unit rows, student patches of the corrupted view.
            keys (torch.Tensor): (B, N, C) unit rows, teacher patches of the clean view.
            masked (torch.Tensor): (B, N) bool, corrupted patches; read if ``queries='masked'``.

        Returns:
            torch.Tensor: Scalar, mean over the queries (of all processes).
        """
        num_images, num_patches, _ = queries.shape
        positives = keys.flatten(0, 1)  # (B*N, C)
        queries = queries.flatten(0, 1)
        images = torch.arange(num_images, device=keys.device).repeat_interleave(num_patches)
        all_keys, key_images = positives, images
        if self.gather_keys:
            all_keys = gather_with_grad(positives)
            images = images + get_rank() * num_images
            key_images = torch.arange(
                all_keys.shape[0] // num_patches, device=keys.device
            ).repeat_interleave(num_patches)
        if self.queries == 'all':
            return info_nce(queries, positives, all_keys, images, key_images, self.temperature)
        chosen = masked.flatten().nonzero().squeeze(1)
        mean = info_nce(
            queries[chosen], positives[chosen], all_keys, images[chosen], key_images,
            self.temperature,
        )  # fmt: skip
        return global_mean(mean * len(chosen), len(chosen))
