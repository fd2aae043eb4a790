"""Pictures of what the model makes of corrupted images while a training runs."""

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
from mmc_plugin.datasets.transforms.gmml import sample_block_mask
from mmc_plugin.models.utils.corruption import corrupt
from mmc_plugin.visualization.panels import reconstruction_panel

from .model_access import denormalise, normalise, undisturbed, unwrap


def draw_corruption(
    ratios: Sequence[float], size: int, patch_size: int, seed: int
) -> tuple[Tensor, Tensor]:
    """Draw masks and noise that are the same on every device.

    Args:
        ratios (Sequence[float]): For each of B images the most to be corrupted.
        size (int): Side of the images in pixels.
        patch_size (int): What the masks are aligned to.
        seed (int): Of both.

    Returns:
        tuple[Tensor, Tensor]: Masks, bool of shape (B, size, size), and noise from N(0, 1) of
        shape (B, 3, size, size).
    """
    rng = np.random.RandomState(seed)
    masks = np.stack(
        [sample_block_mask(size, size, ratio, patch_size, rng=rng) for ratio in ratios]
    )
    noise = torch.randn(len(masks), 3, size, size, generator=torch.Generator().manual_seed(seed))
    return torch.from_numpy(masks), noise


def corrupt_and_reconstruct(
    model: nn.Module, images: Tensor, mask: Tensor, alien: Tensor, noise: Tensor
) -> list[np.ndarray]:
    """What the student makes of corrupted images.

    Args:
        model (nn.Module): An :class:`MMC` with reconstruction head.
        images (Tensor): uint8 RGB of shape (B, 3, H, W).
        mask (Tensor): bool of shape (B, H, W), True = corrupted.
        alien (Tensor): bool of shape (B,), True = filled with the image before.
        noise (Tensor): float of shape (B, 3, H, W), for the others.

    Returns:
        list[np.ndarray]: Clean, corrupted and reconstructed, each uint8 RGB of shape
        (B, H, W, 3).
    """
    with undisturbed(model):
        clean = normalise(model, images)
        corrupted = corrupt(
            clean[None],
            mask[None].to(clean.device),
            alien[None].to(clean.device),
            noise=noise[None].to(clean),
        )[0]
        return [
            denormalise(model, each).permute(0, 2, 3, 1).numpy()
            for each in (clean, corrupted, model.reconstruct(corrupted))
        ]


@HOOKS.register_module()
class ReconstructionPanelHook(Hook):
    """Draws clean, corrupted and reconstructed images every few epochs and at the end.

    Images and corruption are the same each time, so the pictures can be compared; the images are
    filled with noise and with the image before in turns. A picture is written to
    ``vis/reconstruction_epoch_N.png`` in the work directory and handed to the visualizer. The
    training is not touched. A model without reconstruction head is left alone.

    Args:
        interval (int): Epochs between two pictures. Defaults to 10.
        num_images (int): Images in a picture. Defaults to 4.
        images (Sequence[str], optional): Image files; by default images of the training set,
            evenly drawn.
        noise_ratio (float): Coverage ratio of noise. Defaults to 0.75 (paper).
        alien_ratio (float): Coverage ratio of another image. Defaults to 0.30 (paper).
        seed (int): Seed of the corruption. Defaults to 0.
    """

    def __init__(
        self,
        interval: int = 10,
        num_images: int = 4,
        images: Sequence[str] | None = None,
        noise_ratio: float = 0.75,
        alien_ratio: float = 0.30,
        seed: int = 0,
    ) -> None:
        if interval < 1 or num_images < 1:
            raise ValueError(
                'ReconstructionPanelHook needs interval >= 1 and num_images >= 1, '
                f'got {interval} and {num_images}.'
            )
        self.interval, self.num_images, self.images = interval, num_images, images
        self.noise_ratio, self.alien_ratio, self.seed = noise_ratio, alien_ratio, seed
        self._active = False
        self._drawn_at = -1

    def before_train(self, runner) -> None:
        """Prepare images and corruption."""
        self._drawn_at = runner.iter  # a resumed run has done so
        if not is_main_process():
            return
        model = unwrap(runner.model)
        self._active = getattr(model, 'rec_head', None) is not None
        if not self._active:
            runner.logger.info(
                'The model has no reconstruction head (loss weight 0), so '
                'ReconstructionPanelHook draws no pictures.'
            )
            return
        size = min(model.backbone.img_size)
        self._clean = self._load(runner, size)
        self._alien = torch.arange(len(self._clean)) % 2 == 1
        self._mask, self._noise = draw_corruption(
            [self.alien_ratio if alien else self.noise_ratio for alien in self._alien],
            size,
            model.patch_size,
            self.seed,
        )

    def _load(self, runner, size: int) -> Tensor:
        """uint8 RGB of shape (B, 3, size, size)."""
        paths = self.images
        if paths is None:
            dataset = runner.train_dataloader.dataset
            number = min(self.num_images, len(dataset))
            # From each place on until one can be read.
            starts = [i * len(dataset) // number for i in range(number)]
            paths = [
                [
                    dataset.get_data_info(j)['img_path']
                    for j in range(start, min(start + 10, len(dataset)))
                ]
                for start in starts
            ]
        else:
            paths = [[path] for path in paths[: self.num_images]]
        found = []
        for candidates in paths:
            files = ImageFiles(candidates, size, size)
            image = next(
                (each for each, ok in map(files.__getitem__, range(len(files))) if ok), None
            )
            if image is not None:
                found.append(image)
        if not found:
            raise ValueError(
                'ReconstructionPanelHook: none of its images can be read, the first '
                f'is {paths[0][0]!r}.'
            )
        return torch.stack(found)

    def after_train_epoch(self, runner) -> None:
        """Draw every ``interval`` epochs and after the last."""
        if self.every_n_epochs(runner, self.interval) or self.is_last_train_epoch(runner):
            self._draw(runner, runner.epoch + 1)

    def after_train(self, runner) -> None:
        """Draw for a run that was stopped early."""
        if self._drawn_at != runner.iter:
            self._draw(runner, runner.epoch)

    def _draw(self, runner, epoch: int) -> None:
        self._drawn_at = runner.iter
        if not self._active:
            return
        images = corrupt_and_reconstruct(
            unwrap(runner.model), self._clean, self._mask, self._alien, self._noise
        )
        mask = self._mask.numpy()
        kinds = ['another image' if alien else 'noise' for alien in self._alien]
        titles = [
            f'{kind}, {100 * each.mean():.0f} %' for kind, each in zip(kinds, mask, strict=True)
        ]
        panel = reconstruction_panel(*images, mask, titles, f'Reconstruction after epoch {epoch}')
        path = os.path.join(runner.work_dir, 'vis', f'reconstruction_epoch_{epoch}.png')
        os.makedirs(os.path.dirname(path), exist_ok=True)
        cv2.imwrite(path, panel[..., ::-1])
        runner.visualizer.add_image('reconstruction', panel, step=runner.iter)
