"""Segmentation by the labels of the nearest patches, without training (arXiv 2306.01667)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from mmengine.dist import is_main_process
from mmengine.logging import print_log
from mmengine.model import BaseModel
from mmengine.structures import PixelData
from mmengine.utils import track_iter_progress
from mmseg.registry import DATASETS, MODELS
from torch import Tensor

from ..errors import InputError
from ..evaluation.functional.label_retrieval import patch_distribution, retrieve_labels
from ..wording import counted


@MODELS.register_module()
class NearestPatchSegmentor(BaseModel):
    """Dense retrieval: each patch gets the labels of the most similar patches of labelled images.

    The images of ``memory`` are encoded when the first image is predicted, by each process for
    itself. Labels of patches are shares of their pixels; predicted ones are upsampled bilinearly.

    Args:
        features (dict): Config of :class:`FrozenFeatures`, in mmpretrain's scope; images are
            stretched to its square.
        memory (dict): Config of a data set of mmsegmentation whose pipeline loads images and
            labels at their size, without augmentation.
        memory_size (int, optional): Patches that are kept, as many of each image, drawn by a fixed
            seed. They take 4 · (D + C) bytes each. Defaults to 1,024,000; the source keeps
            10,240,000. None keeps all.
        k (int): Nearest patches that are asked. Defaults to 30.
        temperature (float): Of the softmax over their cosines. Defaults to 0.02.
    """

    def __init__(
        self,
        features: dict,
        memory: dict,
        memory_size: int | None = 1_024_000,
        k: int = 30,
        temperature: float = 0.02,
        data_preprocessor: dict | None = None,
    ) -> None:
        super().__init__(data_preprocessor=data_preprocessor)
        if memory_size is not None and memory_size < 1:
            raise InputError(f'memory_size must be positive or None, got {memory_size}.')
        self.features = MODELS.build(features)
        self.memory, self.memory_size = memory, memory_size
        self.k, self.temperature = k, temperature
        self._bank: tuple[Tensor, Tensor] | None = None

    @property
    def protocol(self) -> str:
        """What is done, in words."""
        kept = 'all' if self.memory_size is None else f'at most {self.memory_size:,}'
        return (
            f'by the {self.k} nearest of {kept} labelled patches (arXiv 2306.01667), softmax of '
            f'cosines at temperature {self.temperature:g}, images of {self.features.canvas()}²'
        )

    @torch.no_grad()
    def bank(self) -> tuple[Tensor, Tensor]:
        """Tokens (N, D) of labelled patches, and the classes' shares (N, C) of their pixels.

        Raises:
            ValueError: If no pixel of the memory has a label.
        """
        if self._bank is not None:
            return self._bank
        dataset = DATASETS.build(self.memory)
        classes = len(dataset.metainfo['classes'])
        share = None if self.memory_size is None else -(-self.memory_size // len(dataset))
        print_log(f'Encoding {counted(len(dataset), "labelled image")}', logger='current')
        tokens, labels = [], []
        images = range(len(dataset))
        for i in track_iter_progress(images) if is_main_process() else images:
            data = dataset[i]
            grid = self._tokens(data['inputs'])
            truth = data['data_samples'].gt_sem_seg.data[0].to(grid.device)
            held = patch_distribution(truth, *grid.shape[:2], classes).flatten(0, 1)
            rows = held.any(1).nonzero().flatten()
            if share is not None and share < len(rows):
                order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(i))
                rows = rows[order[:share].to(rows.device)]
            tokens.append(grid.flatten(0, 1)[rows].float())
            labels.append(held[rows])
        self._bank = torch.cat(tokens), torch.cat(labels)
        if not len(self._bank[0]):
            raise InputError(
                'No pixel of the labelled images has a label: look at the label maps of '
                'model.memory, and at its reduce_zero_label.'
            )
        return self._bank

    def _tokens(self, image: Tensor) -> Tensor:
        """(h, w, D) of uint8 BGR (3, H, W)."""
        pixels = self.features.prepare([image.flip(0)])
        return self.features.grid(pixels, self.features.layer, self.features.stride)[0]

    def forward(self, inputs: list[Tensor], data_samples: list | None = None, mode: str = 'tensor'):
        """Segment images.

        Args:
            inputs (list[Tensor]): B uint8 BGR tensors (3, H, W).
            data_samples (list, optional): B samples of mmsegmentation.
            mode (str): ``'predict'``.

        Returns:
            list: The samples, with ``pred_sem_seg`` (1, H, W) at the size of the labels.

        Raises:
            ValueError: In any other mode, since there is nothing to train.
        """
        if mode != 'predict':
            raise InputError(f"NearestPatchSegmentor has the mode 'predict', not {mode!r}.")
        bank, labels = self.bank()
        for image, sample in zip(inputs, data_samples, strict=True):
            grid = self._tokens(image)
            shares = retrieve_labels(bank, labels, grid.flatten(0, 1).float(), self.k,
                                     self.temperature)  # fmt: skip
            maps = shares.T.view(1, -1, *grid.shape[:2])
            full = F.interpolate(maps, sample.ori_shape, mode='bilinear', align_corners=False)
            sample.pred_sem_seg = PixelData(data=full.argmax(1))
        return data_samples
