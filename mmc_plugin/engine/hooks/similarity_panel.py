"""Similarity to a clicked patch, before and after a training."""

from __future__ import annotations

import os
from collections.abc import Sequence

import cv2
import numpy as np
import torch
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmpretrain.registry import HOOKS

from mmc_plugin.datasets.image_files import ImageFiles
from mmc_plugin.evaluation.click_maps import click_maps
from mmc_plugin.visualization.similarity_map import similarity_panel

from ...durable import written_whole
from ...errors import InputError
from .model_access import undisturbed, unwrap


@HOOKS.register_module()
class SimilarityPanelHook(Hook):
    """Draws how similar all patches of an image are to a clicked one (paper, figure 1).

    The maps before the first iteration are kept in ``vis/similarity_before.npz`` of the work
    directory, so that a resumed run has them too, and those at the end in
    ``vis/similarity_after.npz`` (``maps``, float32 of shape (B, h, w)). Both are drawn to
    ``vis/similarity.png`` and handed to the visualizer. The training is not touched.

    Args:
        images (Sequence[str]): Image files, centre-cropped to squares.
        points (Sequence[tuple[float, float]]): For each image the click (x, y) in the square, in
            [0, 1).
        size (int): Side of the squares in pixels, a multiple of the patch size.
    """

    def __init__(
        self,
        images: Sequence[str],
        points: Sequence[tuple[float, float]],
        size: int,
    ) -> None:
        if (
            not images
            or len(images) != len(points)
            or not all(0 <= each < 1 for point in points for each in point)
        ):
            raise InputError(
                'SimilarityPanelHook needs images and, for each, a point with '
                f'coordinates in [0, 1), got {len(images)} and {list(points)}.'
            )
        self.images, self.points, self.size = images, points, size

    def before_train(self, runner: Runner) -> None:
        """Read the images; keep the maps of the untrained model."""
        if not is_main_process():
            return
        patch = unwrap(runner.model).patch_size
        if self.size % patch:
            raise InputError(
                f"SimilarityPanelHook: size must be a multiple of the model's patch size {patch}, "
                f'got {self.size}.'
            )
        files = ImageFiles(self.images, self.size, self.size)
        read = [files[i] for i in range(len(files))]
        unreadable = [path for path, (_, ok) in zip(self.images, read, strict=True) if not ok]
        if unreadable:
            raise InputError(f'SimilarityPanelHook cannot read the image {unreadable[0]!r}.')
        self._pixels = torch.stack([image for image, _ in read])
        if runner.iter == 0:
            self._keep(runner, 'before')

    def after_train(self, runner: Runner) -> None:
        """Keep the maps of the trained model; draw."""
        if not is_main_process():
            return
        self._keep(runner, 'after')
        maps = {}
        for name in ('before', 'after'):
            if os.path.exists(self._path(runner, name)):
                maps[f'{name} training'] = np.load(self._path(runner, name))['maps']
        panel = similarity_panel(
            self._pixels.permute(0, 2, 3, 1).numpy(),
            [(x * self.size, y * self.size) for x, y in self.points],
            maps,
        )
        cv2.imwrite(os.path.join(runner.work_dir, 'vis', 'similarity.png'), panel[..., ::-1])
        runner.visualizer.add_image('similarity', panel, step=runner.iter)

    @staticmethod
    def _path(runner: Runner, name: str) -> str:
        return os.path.join(runner.work_dir, 'vis', f'similarity_{name}.npz')

    def _keep(self, runner: Runner, name: str) -> None:
        with written_whole(self._path(runner, name)) as path:
            np.savez(path, maps=self._maps(runner))

    def _maps(self, runner: Runner) -> np.ndarray:
        """Cosines of shape (B, h, w)."""
        model = unwrap(runner.model)
        with undisturbed(model):
            return click_maps(model, self._pixels, self.points).cpu().numpy()
