"""k-NN accuracy, spread and effective rank of the features while a training runs."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from datetime import datetime, timezone
from functools import partial
from itertools import product

import torch
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmpretrain.registry import HOOKS
from torch import Tensor

from mmc_plugin.datasets.image_files import ImageFiles, scan_labelled
from mmc_plugin.evaluation.feature_bank import Encoder, FeatureBank, extract
from mmc_plugin.evaluation.functional.knn import knn_accuracy
from mmc_plugin.evaluation.functional.spread import effective_rank, feature_spread
from mmc_plugin.evaluation.image_batches import ImageBatches
from mmc_plugin.models.selfsup import PretrainingMethod

from ...errors import InputError
from ...wording import counted
from .model_access import undisturbed, unwrap

# What looks like a collapse: a spread (1 isotropic, 0 collapsed) below this, an effective rank
# below this fraction of the highest possible.
COLLAPSED_SPREAD = 0.05
COLLAPSED_RANK = 0.02
FEWEST_STEPS = 10  # in which one prototype for all images is no accident
NEIGHBOURS = (10, 20)  # the smaller two of the DINO release's four, its best (20) among them
BATCH_SIZE = 128  # images in one forward and process
WORKERS = 2  # that decode, and no more than the training has


@HOOKS.register_module()
class FeatureMonitorHook(Hook):
    """Measures the features every few epochs and warns of a collapse, of prototypes too.

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
        resize (int): Short side in pixels after bicubic resizing. Defaults to 256 [DINO release].
        crop (int): Side in pixels of the centre crop. Defaults to 224 [DINO release].
        unlabelled_images (int): Images of the training set that are used where no folder is
            given, evenly drawn. Defaults to 1024.
    """

    def __init__(
        self,
        interval: int = 10,
        train_dir: str | None = None,
        val_dir: str | None = None,
        networks: Sequence[str] = ('teacher', 'student'),
        resize: int = 256,
        crop: int = 224,
        unlabelled_images: int = 1024,
    ) -> None:
        if (train_dir is None) != (val_dir is None):
            raise InputError(
                'FeatureMonitorHook needs both train_dir and val_dir for k-NN, or neither.'
            )
        if interval < 1 or not networks or not set(networks) <= {'teacher', 'student'}:
            raise InputError(
                "FeatureMonitorHook needs interval >= 1 and networks of 'teacher' "
                f"and 'student', got {interval} and {networks}."
            )
        self.interval = interval
        self.train_dir, self.val_dir = train_dir, val_dir
        self.networks = tuple(networks)
        self.resize, self.crop = resize, crop
        self.unlabelled_images = unlabelled_images
        self._evaluated_at = -1

    def before_train(self, runner: Runner) -> None:
        """Look at the folders, which may be wrong, before hours of training; evaluate."""
        self._images: dict[str, ImageBatches] = {}
        self._labels: dict[str, Tensor | None] = {}
        if self.train_dir is None:
            dataset = runner.train_dataloader.dataset
            index = _evenly(len(dataset), self.unlabelled_images)
            self._add(runner, 'val', [dataset.get_data_info(i)['img_path'] for i in index])
        else:
            paths, labels, classes = scan_labelled(self.train_dir)
            self._k = [k for k in NEIGHBOURS if k <= len(paths)]
            if not self._k:
                raise InputError(
                    f'FeatureMonitorHook looks at the nearest {min(NEIGHBOURS)} images, but '
                    f'{self.train_dir!r} has only {len(paths)}: give a folder with more, or '
                    'neither train_dir nor val_dir.'
                )
            self._add(runner, 'train', paths, labels)
            self._add(runner, 'val', *scan_labelled(self.val_dir, classes)[:2])
        self._evaluated_at = runner.iter  # a resumed run has done so
        if runner.iter == 0:
            self._evaluate(runner, runner.epoch)

    def _add(
        self, runner: Runner, name: str, paths: list[str], labels: list[int] | None = None
    ) -> None:
        files = ImageFiles(paths, self.resize, self.crop)
        workers = min(WORKERS, runner.train_dataloader.num_workers)
        self._images[name] = ImageBatches(files, BATCH_SIZE, workers)
        self._labels[name] = None if labels is None else torch.tensor(labels)

    def after_train_epoch(self, runner: Runner) -> None:
        """Evaluate every ``interval`` epochs and after the last."""
        if self.every_n_epochs(runner, self.interval) or self.is_last_train_epoch(runner):
            self._evaluate(runner, runner.epoch + 1)

    def after_train(self, runner: Runner) -> None:
        """Evaluate a run that was stopped early."""
        if self._evaluated_at != runner.iter:
            self._evaluate(runner, runner.epoch)

    def _evaluate(self, runner: Runner, epoch: int) -> None:
        started = time.time()
        self._evaluated_at = runner.iter
        model = unwrap(runner.model)
        with undisturbed(model):
            banks = {
                name: extract(self._encoders(model), images, self._labels[name])
                for name, images in self._images.items()
            }
            if not is_main_process():
                return
            scalars, weak = self._measure(banks)
            weak += _one_code(runner)
        for name, images in self._images.items():
            unreadable = banks[name][self.networks[0]].unreadable
            if unreadable:
                runner.logger.warning(
                    f'Feature monitor: left out {len(unreadable)} of '
                    f'{counted(len(images.files), "image")}, which could not be read, the first is '
                    f'{unreadable[0]}.'
                )
        self._report(runner, epoch, time.time() - started, scalars, weak)

    def _encoders(self, model: PretrainingMethod) -> dict[str, Encoder]:
        def encode(images: Tensor, network: str) -> tuple[list[Tensor], list[Tensor]]:
            images = model.data_preprocessor.normalise(images)
            cls, patches = model.extract_feat(images, network)
            return [cls], [patches]

        return {network: partial(encode, network=network) for network in self.networks}

    def _measure(
        self, banks: dict[str, dict[str, FeatureBank]]
    ) -> tuple[dict[str, float], list[str]]:
        """Scalars by name, and in words what looks collapsed."""
        scalars, weak = {}, []
        for network, kind in product(self.networks, ('cls', 'pat')):
            key = f'{network}_{kind}'
            feats = {name: each[network].features(kind) for name, each in banks.items()}
            if not all(each.isfinite().all() for each in feats.values()):
                weak.append(f'{key} has values that are not finite')
                continue
            if 'train' in banks:
                labels = {name: each[network].labels for name, each in banks.items()}
                accuracy = knn_accuracy(
                    feats['train'], labels['train'], feats['val'], labels['val'], self._k
                )
                scalars.update({f'knn/{key}_k{k}': each for k, each in accuracy.items()})
            spread, rank = feature_spread(feats['val']), effective_rank(feats['val'])
            scalars[f'spread/{key}'] = spread
            scalars[f'effective_rank/{key}'] = rank
            if spread < COLLAPSED_SPREAD:
                weak.append(f'{key} has spread {spread:.3f}')
            if rank < COLLAPSED_RANK * min(feats['val'].shape):
                weak.append(f'{key} has effective rank {rank:.1f} of {min(feats["val"].shape)}')
        return scalars, weak

    def _report(
        self, runner: Runner, epoch: int, seconds: float, scalars: dict[str, float], weak: list[str]
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


def _one_code(runner: Runner) -> list[str]:
    """In words, that each step of an epoch, of ten at least, gave all its images one prototype.

    More than one is no sure sign, as their number depends on batch, head and temperature. Nor is
    the targets' entropy: centring alone brings it near ln K at first, sharpening near 0.
    """
    codes = runner.message_hub.log_scalars.get('train/codes')
    steps = max(len(runner.train_dataloader), FEWEST_STEPS)
    if codes is None or runner.train_dataloader.batch_size == 1:
        return []
    last = codes.data[0][-steps:]
    found = len(last) == steps and last.max() == 1
    return [f'the targets of each of the last {steps} steps name one prototype'] if found else []


def _evenly(number: int, wanted: int) -> list[int]:
    """Indices of at most ``wanted`` of ``number`` things, evenly drawn."""
    wanted = min(number, wanted)
    return [i * number // wanted for i in range(wanted)]
