"""Contrast of class tokens between images (arXiv 2308.11448, §3)."""

import torch
from mmengine.dist import get_rank
from mmpretrain.registry import MODELS

from ..losses.info_nce import info_nce
from ..utils.distributed import gather_with_grad
from .projection import ProjectionMLP


@MODELS.register_module()
class GlobalContrastHead(ProjectionMLP):
    """Projects class tokens and contrasts them with those of the other images.

    The keys of all processes take part [MC-SSL and MoCo-v3 releases].

    Args:
        temperature (float): τ. Defaults to 0.2 (paper, §4).
        **kwargs: See :class:`ProjectionMLP`.
    """

    def __init__(self, *args, temperature: float = 0.2, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.temperature = temperature

    def loss(self, queries: torch.Tensor, keys: torch.Tensor) -> torch.Tensor:
        """InfoNCE of the queries of image b against key b, negatives the keys of other images.

        Args:
            queries (torch.Tensor): (..., B, C) unit rows, from the student; the leading dimension
                may hold several views.
            keys (torch.Tensor): (B, C) unit rows of the same images, from the teacher.

        Returns:
            torch.Tensor: Scalar, mean over the queries.
        """
        num_images = keys.shape[0]
        all_keys = gather_with_grad(keys)
        key_images = torch.arange(all_keys.shape[0], device=keys.device)
        first = get_rank() * num_images
        query_images = key_images[first : first + num_images].expand(queries.shape[:-1])
        return info_nce(
            queries.flatten(0, -2),
            keys.expand_as(queries).flatten(0, -2),
            all_keys,
            query_images.flatten(),
            key_images,
            self.temperature,
        )
