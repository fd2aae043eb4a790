"""Tests of frozen features that look at whole sets of images instead of one after the other."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import torch
from mmengine.runner import TestLoop
from mmpretrain.registry import LOOPS

from ..datasets.image_sets import ImageSets, ImageSource
from ..errors import InputError
from ..evaluation.feature_bank import FeatureBank, feature_bank
from ..evaluation.metrics import BankMetric, Banks
from ..models.features import FrozenFeatures
from .hooks.model_access import unwrap


class FrozenLoop(TestLoop):
    """A test of a :class:`FrozenFeatures` on :class:`ImageSets`.

    Of the dataloader only the data set, the size of batches and the number of workers are used.
    """

    def measure(self, model: FrozenFeatures, sets: dict[str, ImageSource]) -> dict[str, float]:
        """The metrics of a model on sets of images."""
        raise NotImplementedError

    def run(self) -> dict[str, float]:
        """Test."""
        self.runner.call_hook('before_test')
        self.runner.call_hook('before_test_epoch')
        self.runner.model.eval()
        model, dataset = unwrap(self.runner.model), self.dataloader.dataset
        if not isinstance(model, FrozenFeatures) or not isinstance(dataset, ImageSets):
            raise InputError(
                f'{type(self).__name__} tests FrozenFeatures on ImageSets, not '
                f'{type(model).__name__} on {type(dataset).__name__}.'
            )
        if model.stride not in (None, model.patch_size):
            raise InputError(
                'model.stride is for maps of patches: leave it at None where features of whole '
                'images are measured.'
            )
        metrics = self.measure(model, dataset.sets)
        self.runner.call_hook('after_test_epoch', metrics=metrics)
        self.runner.call_hook('after_test')
        return metrics


def cut(model: FrozenFeatures) -> dict[str, Any]:
    """How images are cut for a model: arguments of :meth:`ImageSource.images`.

    For ``fit='crop'`` the short side becomes 256/224 of the square's [DINO release].
    """
    canvas = model.canvas()
    return dict(resize=round(canvas * 256 / 224), crop=canvas, fit=model.fit)


@LOOPS.register_module()
class FeatureBankLoop(FrozenLoop):
    """Features of all sets of images, each image once; then the metrics on all of them.

    Args:
        runner (Runner): Of mmengine.
        dataloader (DataLoader | dict): Of :class:`ImageSets`.
        evaluator (Evaluator | dict | list): With metrics that are :class:`BankMetric`.
        scales (Sequence[float]): Features are sums over the images at so many times their size.
            Defaults to (1, ).
        cache_dir (str, optional): Folder where features are kept for a next test of the same
            weights on the same files, see :func:`feature_bank`; a relative one lies in the work
            directory. Defaults to None: nothing is kept.
        fp16 (bool): Mixed precision in the network. Defaults to False.
    """

    def __init__(
        self,
        runner,
        dataloader: Any,
        evaluator: Any,
        scales: Sequence[float] = (1.0,),
        cache_dir: str | None = None,
        fp16: bool = False,
    ) -> None:
        super().__init__(runner, dataloader, evaluator, fp16)
        if not scales or min(scales) <= 0:
            raise InputError(f'test_cfg.scales must be numbers above 0, got {scales}.')
        self.scales = tuple(scales)
        self.cache_dir = None
        if cache_dir is not None:
            self.cache_dir = os.path.join(runner.work_dir, os.path.expanduser(cache_dir))

    def measure(self, model: FrozenFeatures, sets: dict[str, ImageSource]) -> dict[str, float]:
        """The metrics of a model on sets of images."""
        for metric in self.evaluator.metrics:
            if not isinstance(metric, BankMetric):
                raise InputError(
                    f'FeatureBankLoop needs metrics over sets of features, which '
                    f'{type(metric).__name__} is not.'
                )
            metric.check(sets)
        banks = {name: self._bank(model, name, source) for name, source in sets.items()}
        device = next(model.parameters(), model.mean).device
        self.evaluator.process(data_samples=[Banks(banks, device)])
        return self.evaluator.evaluate(len(self.dataloader.dataset))

    def _bank(self, model: FrozenFeatures, name: str, source: ImageSource) -> FeatureBank:
        self.runner.logger.info(f'Features of {len(source)} images of the set {name!r} …')
        return feature_bank(
            model,
            source.images(**cut(model)),
            torch.tensor(source.labels),
            [model.layer],
            self.cache_dir,
            self.dataloader.batch_size,
            self.dataloader.num_workers,
            self.scales,
            self.fp16,
        )
