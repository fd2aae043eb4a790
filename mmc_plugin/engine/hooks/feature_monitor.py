"""k-NN accuracy, spread and effective rank of the features while a training runs."""

from __future__ import annotations

import contextlib
import json
import math
import os
import time
from collections.abc import Sequence
from datetime import datetime, timezone

import torch
from mmengine.dist import all_gather, get_dist_info
from mmengine.hooks import Hook
from mmpretrain.registry import HOOKS
from torch import Tensor
from torch.utils.data import DataLoader, Subset

from mmc_plugin.datasets.image_files import ImageFiles, scan_labelled
from mmc_plugin.evaluation.functional.knn import knn_accuracy
from mmc_plugin.evaluation.functional.spread import effective_rank, feature_spread

from .model_access import normalise, undisturbed, unwrap


class _Share:
    """This process' part of a list of images, decoded once and kept if it is small."""

    def __init__(
        self,
        paths: Sequence[str],
        resize: int,
        crop: int,
        batch_size: int,
        num_workers: int,
        cache_bytes: int,
    ) -> None:
        self.number = len(paths)
        rank, world = get_dist_info()
        # Equal parts, so that they can be gathered; the last images may appear twice and are cut.
        part = [i % self.number for i in range(rank, math.ceil(self.number / world) * world, world)]
        self.loader = DataLoader(
            Subset(ImageFiles(paths, resize, crop), part), batch_size, num_workers=num_workers
        )
        self.keep = len(part) * 3 * crop * crop <= cache_bytes
        self.cache: list[tuple[Tensor, Tensor]] = []

    def batches(self):
        """Pairs of images uint8 (B, 3, crop, crop) and whether they could be read (B, )."""
        if self.cache:
            yield from self.cache
            return
        for batch in self.loader:
            if self.keep:
                self.cache.append(batch)
            yield batch

    def gather(self, part: Tensor) -> Tensor:
        """Rows of all processes' parts in the order of the list."""
        return torch.stack(all_gather(part), dim=1).flatten(0, 1)[: self.number]


@HOOKS.register_module()
class FeatureMonitorHook(Hook):
    """Measures the features every few epochs and warns of a collapse.

    Features are the class token (``cls``) and the mean of the patch tokens (``pat``) that
    ``model.extract_feat(images, network)`` returns. With a labelled folder k-NN accuracy
    (DINO release's protocol, see :func:`knn_accuracy`) is measured on them; feature spread and
    effective rank are measured on the validation images or, without a labelled folder, on
    images of the training set. All numbers go to the visualizer and its backends (JSON,
    TensorBoard, …), to the message hub, to the log and, one JSON object an evaluation, to
    ``feature_monitor.jsonl`` in the work directory.

    The training is not touched: modes, buffers and random states are as before, so its losses
    are the same with and without this hook. In a distributed run each process extracts a part.

    Args:
        interval (int): Epochs between two evaluations. Defaults to 10.
        train_dir (str, optional): Folder of labelled images, one folder per class, whose features
            vote. Without it only spread and effective rank are measured.
        val_dir (str, optional): Folder of labelled images that are classified.
        networks (Sequence[str]): ``'teacher'``, ``'student'`` or both. Defaults to both.
        k (Sequence[int]): Numbers of neighbours. Defaults to (10, 20).
        temperature (float): Temperature of the vote. Defaults to 0.07 [DINO release].
        resize (int): Short side in pixels after bicubic resizing. Defaults to 256 [DINO release].
        crop (int): Side in pixels of the centre crop. Defaults to 224 [DINO release].
        max_images (int, optional): At most so many images of ``train_dir``, evenly drawn.
            Defaults to None, all.
        unlabelled_images (int): Images of the training set that are used where no folder is
            given, evenly drawn. Defaults to 1024.
        at_start (bool): Whether to evaluate before the first epoch. Defaults to True.
        collapse_spread (float): Warn if the spread (1 isotropic, 0 collapsed) is lower. Defaults
            to 0.05.
        collapse_rank (float): Warn if the effective rank is lower than this fraction of the
            highest possible. Defaults to 0.02.
        batch_size (int): Images in one forward and process. Defaults to 128.
        num_workers (int): Processes that decode. Defaults to 2.
        cache_bytes (int): Decoded images are kept if a process' part of a folder is not larger.
            Defaults to 1 GiB.
        autocast (str, optional): Type for automatic mixed precision, such as ``'bfloat16'``.
            Defaults to None, the weights' type.
    """

    def __init__(
        self,
        interval: int = 10,
        train_dir: str | None = None,
        val_dir: str | None = None,
        networks: Sequence[str] = ('teacher', 'student'),
        k: Sequence[int] = (10, 20),
        temperature: float = 0.07,
        resize: int = 256,
        crop: int = 224,
        max_images: int | None = None,
        unlabelled_images: int = 1024,
        at_start: bool = True,
        collapse_spread: float = 0.05,
        collapse_rank: float = 0.02,
        batch_size: int = 128,
        num_workers: int = 2,
        cache_bytes: int = 2**30,
        autocast: str | None = None,
    ) -> None:
        if (train_dir is None) != (val_dir is None):
            raise ValueError(
                'FeatureMonitorHook needs both train_dir and val_dir for k-NN, or neither.'
            )
        if interval < 1 or not networks or not set(networks) <= {'teacher', 'student'}:
            raise ValueError(
                "FeatureMonitorHook needs interval >= 1 and networks of 'teacher' "
                f"and 'student', got {interval} and {networks}."
            )
        self.interval = interval
        self.train_dir, self.val_dir = train_dir, val_dir
        self.networks, self.k, self.temperature = tuple(networks), tuple(k), temperature
        self.resize, self.crop = resize, crop
        self.max_images, self.unlabelled_images = max_images, unlabelled_images
        self.at_start = at_start
        self.collapse_spread, self.collapse_rank = collapse_spread, collapse_rank
        self.loader_keys = dict(
            batch_size=batch_size, num_workers=num_workers, cache_bytes=cache_bytes
        )
        self.autocast = getattr(torch, autocast) if autocast else None
        self._evaluated_at = -1

    def before_train(self, runner) -> None:
        """Look at the folders, which may be wrong, before hours of training; evaluate."""
        shares = {}
        if self.train_dir is None:
            dataset = runner.train_dataloader.dataset
            index = _evenly(len(dataset), self.unlabelled_images)
            shares['val'] = [dataset.get_data_info(i)['img_path'] for i in index], None
        else:
            paths, labels, classes = scan_labelled(self.train_dir)
            index = _evenly(len(paths), self.max_images or len(paths))
            if max(self.k) > len(index):
                raise ValueError(
                    f'FeatureMonitorHook: k = {max(self.k)}, but only {len(index)} '
                    f'labelled images of {self.train_dir!r} are used.'
                )
            shares['train'] = [paths[i] for i in index], [labels[i] for i in index]
            shares['val'] = scan_labelled(self.val_dir, classes)[:2]
        self._labels = {
            name: None if labels is None else torch.tensor(labels)
            for name, (_, labels) in shares.items()
        }
        self._shares = {
            name: _Share(paths, self.resize, self.crop, **self.loader_keys)
            for name, (paths, _) in shares.items()
        }
        self._evaluated_at = runner.iter  # a resumed run has done so
        if self.at_start and runner.iter == 0:
            self._evaluate(runner, runner.epoch)

    def after_train_epoch(self, runner) -> None:
        """Evaluate every ``interval`` epochs and after the last."""
        if self.every_n_epochs(runner, self.interval) or self.is_last_train_epoch(runner):
            self._evaluate(runner, runner.epoch + 1)

    def after_train(self, runner) -> None:
        """Evaluate a run that was stopped early."""
        if self._evaluated_at != runner.iter:
            self._evaluate(runner, runner.epoch)

    def _evaluate(self, runner, epoch: int) -> None:
        started = time.time()
        self._evaluated_at = runner.iter
        model = unwrap(runner.model)
        with undisturbed(model):
            feats, labels = {}, {}
            for name, share in self._shares.items():
                feats[name], labels[name] = self._extract(runner, model, name, share)
            if get_dist_info()[0] != 0:
                return
            scalars, weak = self._measure(feats, labels)
        seconds = time.time() - started
        self._report(runner, epoch, seconds, scalars, weak)

    def _extract(
        self, runner, model, name: str, share: _Share
    ) -> tuple[dict[str, Tensor], Tensor | None]:
        """Features by name, each (N, D), and labels (N, ) of the readable images of all parts."""
        parts: dict[str, list[Tensor]] = {}
        readable = []
        for images, ok in share.batches():
            readable.append(ok.byte())  # gloo gathers no bool
            inputs = normalise(model, images)
            context = (
                torch.autocast(inputs.device.type, self.autocast)
                if self.autocast
                else contextlib.nullcontext()
            )
            for network in self.networks:
                with context:
                    cls, patches = model.extract_feat(inputs, network)
                parts.setdefault(f'{network}_cls', []).append(cls.float())
                parts.setdefault(f'{network}_pat', []).append(patches.float().mean(1))
        readable = share.gather(torch.cat(readable)).bool()
        feats = {key: share.gather(torch.cat(part)) for key, part in parts.items()}
        if not readable.all():
            bad = (~readable).nonzero().flatten().tolist()
            paths = share.loader.dataset.dataset.paths
            runner.logger.warning(
                f'Feature monitor: {len(bad)} of {share.number} images could '
                f'not be read and were left out, the first is '
                f'{paths[bad[0]]}.'
            )
            if len(bad) == share.number:
                raise ValueError(
                    f'FeatureMonitorHook could not read any image of {os.path.dirname(paths[0])!r}.'
                )
        labels = self._labels[name]
        feats = {key: each[readable.to(each.device)] for key, each in feats.items()}
        return feats, None if labels is None else labels[readable.cpu()]

    def _measure(
        self, feats: dict[str, dict[str, Tensor]], labels: dict[str, Tensor | None]
    ) -> tuple[dict[str, float], list[str]]:
        """Scalars by name, and in words what looks collapsed."""
        scalars, weak = {}, []
        for key, val in feats['val'].items():
            if not all(each[key].isfinite().all() for each in feats.values()):
                weak.append(f'{key} has values that are not finite')
                continue
            if 'train' in feats:
                accuracy = knn_accuracy(
                    feats['train'][key],
                    labels['train'],
                    val,
                    labels['val'],
                    self.k,
                    self.temperature,
                )
                scalars.update({f'knn/{key}_k{k}': each for k, each in accuracy.items()})
            spread, rank = feature_spread(val), effective_rank(val)
            scalars[f'spread/{key}'] = spread
            scalars[f'effective_rank/{key}'] = rank
            if spread < self.collapse_spread:
                weak.append(f'{key} has spread {spread:.3f}')
            if rank < self.collapse_rank * min(val.shape):
                weak.append(f'{key} has effective rank {rank:.1f} of {min(val.shape)}')
        return scalars, weak

    def _report(
        self, runner, epoch: int, seconds: float, scalars: dict[str, float], weak: list[str]
    ) -> None:
        step = runner.iter
        for key, value in scalars.items():
            runner.message_hub.update_scalar(key, value)
        runner.visualizer.add_scalars(dict(scalars, epoch=epoch), step=step)
        entry = dict(
            epoch=epoch,
            iter=step,
            time=datetime.now(timezone.utc).isoformat(timespec='seconds'),
            seconds=round(seconds, 2),
            **scalars,
        )
        with open(os.path.join(runner.work_dir, 'feature_monitor.jsonl'), 'a') as file:
            file.write(json.dumps(entry) + '\n')
        words = '  '.join(f'{key}: {value:.2f}' for key, value in scalars.items())
        runner.logger.info(f'Features after epoch {epoch} ({seconds:.1f} s)  {words}')
        # Before the first step there is nothing that could have collapsed.
        if weak and epoch > 0:
            runner.logger.warning(
                f'The features look collapsed after epoch {epoch}: {"; ".join(weak)}. If this '
                'stays so, lower the learning rate or check the teacher and the losses.'
            )


def _evenly(number: int, wanted: int) -> list[int]:
    """Indices of at most ``wanted`` of ``number`` things, evenly drawn."""
    wanted = min(number, wanted)
    return [i * number // wanted for i in range(wanted)]
