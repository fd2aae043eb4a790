"""Similarity to a clicked patch, before and after a training."""

from __future__ import annotations

import os
from collections.abc import Sequence

import cv2
import numpy as np
import torch
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmpretrain.registry import HOOKS
from torch import Tensor, nn

from mmc_plugin.datasets.image_files import ImageFiles
from mmc_plugin.evaluation.functional.similarity import patch_similarity
from mmc_plugin.visualization.similarity_map import similarity_panel

from .model_access import undisturbed, unwrap


def similarity_maps(
    model: nn.Module,
    images: Tensor,
    points: Sequence[tuple[float, float]],
    network: str = 'teacher',
) -> np.ndarray:
    """Cosine of all patches' features to that of a clicked one (paper, figure 1).

    Args:
        model (nn.Module): An :class:`MMC`.
        images (Tensor): uint8 RGB of shape (B, 3, S, S), S a multiple of the patch size.
        points (Sequence[tuple[float, float]]): For each image the click (x, y) in [0, 1).
        network (str): ``'teacher'`` or ``'student'``. Defaults to ``'teacher'``.

    Returns:
        np.ndarray: float of shape (B, h, w), one value for each patch.
    """
    side = images.shape[-1] // model.patch_size
    index = torch.tensor([int(y * side) * side + int(x * side) for x, y in points])
    with undisturbed(model):
        _, patches = model.extract_feat(model.data_preprocessor.normalise(images), network)
        similarity = patch_similarity(patches.float(), index.to(patches.device))
    return similarity.view(-1, side, side).cpu().numpy()


@HOOKS.register_module()
class SimilarityPanelHook(Hook):
    """Draws how similar all patches of an image are to a clicked one (paper, figure 1).

    The maps before the first iteration are kept in ``vis/similarity_before.npz`` of the work
    directory, so that a resumed run has them too; at the end both are drawn to
    ``vis/similarity.png`` and handed to the visualizer. The training is not touched.

    Args:
        images (Sequence[str]): Image files, centre-cropped to squares.
        points (Sequence[tuple[float, float]]): For each image the click (x, y) in the square, in
            [0, 1).
        size (int): Side of the squares in pixels, a multiple of the patch size.
        network (str): ``'teacher'`` or ``'student'``. Defaults to ``'teacher'``.
    """

    def __init__(
        self,
        images: Sequence[str],
        points: Sequence[tuple[float, float]],
        size: int,
        network: str = 'teacher',
    ) -> None:
        if (
            not images
            or len(images) != len(points)
            or not all(0 <= each < 1 for point in points for each in point)
        ):
            raise ValueError(
                'SimilarityPanelHook needs images and, for each, a point with '
                f'coordinates in [0, 1), got {len(images)} and {list(points)}.'
            )
        self.images, self.points, self.size, self.network = images, points, size, network

    def before_train(self, runner) -> None:
        """Read the images; keep the maps of the untrained model."""
        if not is_main_process():
            return
        files = ImageFiles(self.images, self.size, self.size)
        read = [files[i] for i in range(len(files))]
        unreadable = [path for path, (_, ok) in zip(self.images, read, strict=True) if not ok]
        if unreadable:
            raise ValueError(f'SimilarityPanelHook cannot read the image {unreadable[0]!r}.')
        self._pixels = torch.stack([image for image, _ in read])
        self._before = os.path.join(runner.work_dir, 'vis', 'similarity_before.npz')
        if runner.iter == 0:
            os.makedirs(os.path.dirname(self._before), exist_ok=True)
            np.savez(self._before, maps=self._maps(runner))

    def after_train(self, runner) -> None:
        """Draw."""
        if not is_main_process():
            return
        maps = {}
        if os.path.exists(self._before):
            maps['before training'] = np.load(self._before)['maps']
        maps['after training'] = self._maps(runner)
        panel = similarity_panel(
            self._pixels.permute(0, 2, 3, 1).numpy(),
            [(x * self.size, y * self.size) for x, y in self.points],
            maps,
            'Similarity of all patches to the clicked one',
        )
        path = os.path.join(runner.work_dir, 'vis', 'similarity.png')
        os.makedirs(os.path.dirname(path), exist_ok=True)
        cv2.imwrite(path, panel[..., ::-1])
        runner.visualizer.add_image('similarity', panel, step=runner.iter)

    def _maps(self, runner) -> np.ndarray:
        """Cosines of shape (B, h, w)."""
        return similarity_maps(unwrap(runner.model), self._pixels, self.points, self.network)
