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
        queries (str): ``'all'`` positions, as in the paper, or the ``'masked'`` ones only, which is
            another loss: the student's head sees no other patch, its batch norm neither.
            Defaults to ``'all'``.
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

    def choose(self, tokens: torch.Tensor, masked: torch.Tensor) -> torch.Tensor:
        """Of the patches those whose queries are compared.

        Args:
            tokens (torch.Tensor): (B, N, ...), the student's before they are projected, for one.
            masked (torch.Tensor): (B, N) bool, corrupted patches.

        Returns:
            torch.Tensor: (R, ...), all patches in their order or the masked ones.
        """
        rows = tokens.flatten(0, 1)
        return rows if self.queries == 'all' else rows[masked.flatten()]

    def loss(self, queries: torch.Tensor, keys: torch.Tensor, masked: torch.Tensor) -> torch.Tensor:
        """InfoNCE of each patch against the same patch of the teacher.

        Args:
            queries (torch.Tensor): (R, C) unit rows, student patches of the corrupted view as
                :meth:`choose` takes them.
            keys (torch.Tensor): (B, N, C) unit rows, teacher patches of the clean view.
            masked (torch.Tensor): (B, N) bool, corrupted patches; read if ``queries='masked'``.

        Returns:
            torch.Tensor: Scalar, mean over the queries (of all processes).
        """
        num_images, num_patches, _ = keys.shape
        all_keys = keys.flatten(0, 1)  # (B*N, C)
        images = torch.arange(num_images, device=keys.device)
        key_images = images.repeat_interleave(num_patches)
        positives = self.choose(keys, masked)
        images = self.choose(images[:, None].expand(-1, num_patches), masked)
        if self.gather_keys:
            all_keys = gather_with_grad(all_keys)
            images = images + get_rank() * num_images
            key_images = torch.arange(
                all_keys.shape[0] // num_patches, device=keys.device
            ).repeat_interleave(num_patches)
        mean = info_nce(queries, positives, all_keys, images, key_images, self.temperature)
        return mean if self.queries == 'all' else global_mean(mean * len(queries), len(queries))
