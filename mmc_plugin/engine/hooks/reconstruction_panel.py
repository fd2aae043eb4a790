"""Pictures of what the model makes of corrupted images while a training runs."""

from __future__ import annotations

import itertools
import os

import cv2
import torch
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmpretrain.registry import HOOKS
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from mmc_plugin.datasets.transforms.loading import LoadImage, UnreadableImageError
from mmc_plugin.evaluation.reconstruction import (
    corrupt_and_reconstruct,
    draw_corruption,
    training_mask,
)
from mmc_plugin.structures.image_frame import place_image
from mmc_plugin.visualization.panels import reconstruction_panel

from ...errors import InputError
from .model_access import is_sharded, undisturbed, unwrap

IMAGES = 4  # in a picture, evenly drawn from the training set


@HOOKS.register_module()
class ReconstructionPanelHook(Hook):
    """Draws clean, corrupted and reconstructed images every few epochs and at the end.

    Images and corruption are the same each time, so the pictures can be compared. Masks are such as
    the pipeline draws, see :func:`training_mask`; they are filled as the method does it, with noise
    or zeros, and with the image before in turns. A picture is written to
    ``vis/reconstruction_epoch_N.png`` in the work directory and handed to the visualizer. The
    training is not touched. A model without reconstruction head is left alone, and so is one that
    is sharded over processes, which cannot be asked by one of them.

    Args:
        interval (int): Epochs between two pictures; 0 for none. Defaults to 10.
    """

    def __init__(self, interval: int = 10) -> None:
        if interval < 0:
            raise InputError(f'ReconstructionPanelHook needs interval >= 0, got {interval}.')
        self.interval = interval
        self._active = False
        self._drawn_at = -1

    def before_train(self, runner: Runner) -> None:
        """Prepare images and corruption."""
        self._drawn_at = runner.iter  # a resumed run has done so
        if not is_main_process() or not self.interval:
            return
        model = unwrap(runner.model)
        for reason, applies in {
            'the model has no reconstruction head (loss weight 0)': not model.reconstructs,
            'the model is sharded over the processes': is_sharded(runner.model),
        }.items():
            if applies:
                runner.logger.info(f'ReconstructionPanelHook draws no pictures: {reason}.')
                return
        self._active = True
        size = min(model.backbone.img_size)
        self._clean = self._load(runner.train_dataloader.dataset, size)
        self._alien = torch.arange(len(self._clean)) % 2 == 1
        # A data set of another package may have no pipeline.
        pipeline = getattr(runner.train_dataloader.dataset, 'pipeline', None)
        gmml = training_mask(getattr(pipeline, 'transforms', ()), size, model.patch_size)
        self._mask, self._noise = draw_corruption(gmml, self._alien, size, seed=0)

    def _load(self, dataset: Dataset, size: int) -> Tensor:
        """uint8 RGB (B, 3, size, size): from each of B places on the first that can be read."""
        number, found = min(IMAGES, len(dataset)), []
        # Images in shards are no files of their own.
        encoded = getattr(dataset, 'get_encoded', dataset.get_data_info)
        load = LoadImage()

        def read(place: int) -> Tensor | None:
            try:
                pixels = load(encoded(place))['img']
            except UnreadableImageError:
                return None
            return place_image(Image.fromarray(pixels[..., ::-1].copy()), size, size, 'crop')

        for place in range(number):
            start = place * len(dataset) // number
            near = range(start, min(start + 10, len(dataset)))
            readable = (image for image in map(read, near) if image is not None)
            found += itertools.islice(readable, 1)
        if not found:
            raise InputError(
                'ReconstructionPanelHook: none of its images can be read, the first is '
                f'{dataset.get_data_info(0)["img_path"]!r}.'
            )
        return torch.stack(found)

    def after_train_epoch(self, runner: Runner) -> None:
        """Draw every ``interval`` epochs and after the last."""
        if self.every_n_epochs(runner, self.interval) or self.is_last_train_epoch(runner):
            self._draw(runner, runner.epoch + 1)

    def after_train(self, runner: Runner) -> None:
        """Draw for a run that was stopped early."""
        if self._drawn_at != runner.iter:
            self._draw(runner, runner.epoch)

    def _draw(self, runner: Runner, epoch: int) -> None:
        self._drawn_at = runner.iter
        if not self._active:
            return
        model = unwrap(runner.model)
        with undisturbed(model):
            clean, corrupted, made, fillings = corrupt_and_reconstruct(
                model, self._clean, self._mask, self._alien, self._noise
            )
        mask = self._mask.numpy()
        titles = [
            f'{kind}, {100 * each.mean():.0f} %' for kind, each in zip(fillings, mask, strict=True)
        ]
        panel = reconstruction_panel(
            clean, corrupted, made[0], mask, titles, f'Reconstruction after epoch {epoch}'
        )
        path = os.path.join(runner.work_dir, 'vis', f'reconstruction_epoch_{epoch}.png')
        os.makedirs(os.path.dirname(path), exist_ok=True)
        cv2.imwrite(path, panel[..., ::-1])
        runner.visualizer.add_image('reconstruction', panel, step=runner.iter)
