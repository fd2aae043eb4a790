"""Tests of frozen features that look at whole sets of images instead of one after the other."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import torch
from mmengine.runner import TestLoop
from mmengine.runner.amp import autocast
from mmpretrain.registry import LOOPS
from torch.utils.data import DataLoader, Subset

from ..datasets.image_sets import ImageSets, ImageSource
from ..datasets.random_views import RandomViews
from ..errors import InputError
from ..evaluation.feature_bank import FeatureBank, feature_bank
from ..evaluation.functional.variance import RunningVariance
from ..evaluation.metrics import BankMetric, Banks
from ..evaluation.process_parts import own_part
from ..models.features import FrozenFeatures
from ..models.utils import corrupt
from ..structures.image_frame import short_side
from ..wording import counted
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
        model.refuse_grid_settings()
        metrics = self.measure(model, dataset.sets)
        self.runner.call_hook('after_test_epoch', metrics=metrics)
        self.runner.call_hook('after_test')
        return metrics


def cut(model: FrozenFeatures) -> dict[str, Any]:
    """How images are cut for a model: arguments of :meth:`ImageSource.images`.

    For ``fit='crop'`` the short side becomes 256/224 of the square's [DINO release].
    """
    canvas = model.canvas()
    return dict(resize=short_side(canvas), crop=canvas, fit=model.fit)


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
            metric.look_at(model)
        banks = {name: self._bank(model, name, source) for name, source in sets.items()}
        device = next(model.parameters(), model.mean).device
        self.evaluator.process(data_samples=[Banks(banks, device)])
        return self.evaluator.evaluate(len(self.dataloader.dataset))

    def _bank(self, model: FrozenFeatures, name: str, source: ImageSource) -> FeatureBank:
        self.runner.logger.info(
            f'Features of {counted(len(source), "image")} of the set {name!r} …'
        )
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


@LOOPS.register_module()
class VarianceLoop(FrozenLoop):
    """Variance of features over random crops and masks of each image [arXiv 2308.11448, table 10].

    No more than a batch of views is in the network at once, and of no view the features are kept.

    Args:
        runner (Runner): Of mmengine.
        dataloader (DataLoader | dict): Of :class:`ImageSets` with the set ``test``; its batches are
            of views.
        evaluator (Evaluator | dict | list): With a :class:`FeatureVariance`.
        views (int): Crops, and masks, of each image. Defaults to 128.
        scale (tuple[float, float]): Area of a crop as a part of the image. Defaults to (0.2, 1).
        coverage (float): Part of the image that a mask covers. Defaults to 0.5.
        seed (int): Of crops, masks and noise. Defaults to 0.
        fp16 (bool): Mixed precision in the network. Defaults to False.
    """

    def __init__(
        self,
        runner,
        dataloader: Any,
        evaluator: Any,
        views: int = 128,
        scale: tuple[float, float] = (0.2, 1.0),
        coverage: float = 0.5,
        seed: int = 0,
        fp16: bool = False,
    ) -> None:
        super().__init__(runner, dataloader, evaluator, fp16)
        if views < 2 or not 0 < coverage <= 1:
            raise InputError(
                f'test_cfg needs at least 2 views and a coverage in (0, 1], got {views} and '
                f'{coverage}.'
            )
        self.views, self.scale, self.coverage, self.seed = views, tuple(scale), coverage, seed

    def measure(self, model: FrozenFeatures, sets: dict[str, ImageSource]) -> dict[str, float]:
        """The metrics of a model on sets of images."""
        if set(sets) != {'test'} or model.fit not in ('crop', 'stretch'):
            raise InputError(
                "VarianceLoop needs one set, 'test', and model.fit='crop' or 'stretch', got "
                f'{", ".join(sets)} and {model.fit!r}.'
            )
        about = dict(number=self.views, scale=self.scale, coverage=self.coverage)
        self.evaluator.dataset_meta = dict(self.dataloader.dataset.metainfo, views=about)
        images = sets['test'].images(**cut(model))
        patch = model.patch_size
        dataset = RandomViews(images, patch=patch, seed=self.seed, **about)
        loader = DataLoader(
            Subset(dataset, own_part(len(dataset))),
            batch_size=None,
            num_workers=self.dataloader.num_workers,
        )
        for number, sample in enumerate(loader):
            self.evaluator.process([self._measure(model, dataset, sample)])
            if (number + 1) % 20 == 0:
                self.runner.logger.info(f'Variance of {number + 1} of {len(loader)} images.')
        return self.evaluator.evaluate(len(dataset))

    @torch.no_grad()
    def _measure(self, model: FrozenFeatures, dataset: RandomViews, sample: dict) -> dict:
        found = {key: sample[key] for key in ('sample_idx', 'img_path')}
        if not sample['readable']:
            return found
        image, patch = RunningVariance(), RunningVariance()
        size = self.dataloader.batch_size
        for crops in sample['crops'].split(size):
            with autocast(enabled=self.fp16):
                cls, _ = model.tokens(model.normalise(crops), [model.layer])
            image.update(cls[0])
        whole = model.normalise(sample['whole'][None])
        generator = torch.Generator(whole.device).manual_seed(dataset.seed(found['sample_idx']))
        for masks in sample['masks'].split(size):
            masks = masks.to(whole.device)
            views = whole.expand(len(masks), -1, -1, -1)
            noise = masks.new_zeros(1, len(masks))  # none is filled with another image
            noisy = corrupt(views[None], masks[None], noise, generator=generator)[0]
            with autocast(enabled=self.fp16):
                _, tokens = model.tokens(noisy, [model.layer])
            patch.update(tokens[0])
        return dict(found, image=image.variance.mean().item(), patch=patch.variance.mean().item())
