"""Trainings on images of other channels than red, green and blue."""

from __future__ import annotations

import numpy as np
from mmengine.config import Config, ConfigDict
from mmpretrain.registry import DATASETS, MODELS

from ..datasets.transforms.loading import LoadImage
from ..errors import InputError
from ..models.selfsup.base import StudentTeacher
from .cli import say

_MEASURED = 256  # images whose mean and standard deviation are taken; our choice
_LOADERS = ('LoadImage', 'LoadViews')
_OF_PHOTOGRAPHS = ('FeatureMonitorHook', 'OnlineProbeHook')


def set_in_channels(cfg: Config) -> None:
    """Let a training whose config says ``in_channels`` take images of so many, in place.

    Reading, backbone, reconstruction and normalisation follow. What is about colours is left out:
    saturation and hue of :class:`ViewColorJitter`, :class:`ViewGrayscale`, and the pictures of
    reconstructions. Mean and standard deviation are those of 256 of the images, unless
    ``model.data_preprocessor`` has as many numbers as there are channels. With 3, or without the
    key, nothing changes: images are photographs.

    Args:
        cfg (Config): Of a method with a student and a momentum teacher.

    Raises:
        ValueError: If a part of the config is for photographs alone, or a channel has one value.
    """
    channels = cfg.get('in_channels') or 3
    if channels == 3:
        return
    model = cfg.model
    kind = MODELS.get(model.type) if isinstance(model.get('type'), str) else None
    if not (isinstance(kind, type) and issubclass(kind, StudentTeacher)):
        raise InputError(
            f'in_channels={channels} needs a method with a student and a momentum teacher, such as '
            f'MMC, SiT or DINO; {model.get("type")} takes 3'
        )
    hooks = cfg.get('default_hooks') or {}
    for name, hook in [*hooks.items(), *enumerate(cfg.get('custom_hooks') or [])]:
        if hook and str(hook.get('type')).rpartition('.')[2] in _OF_PHOTOGRAPHS:
            raise InputError(
                f'in_channels={channels}: {hook["type"]} evaluates photographs in colour; leave it '
                f'out (default_hooks.{name}=None)'
            )
    hooks.pop('reconstruction', None)  # draws photographs
    model.backbone.in_channels = channels
    for head in model.values():
        if isinstance(head, dict) and head.get('type') == 'PixelReconstructionHead':
            head.image_channels = channels
    pipeline = cfg.train_dataloader.dataset.pipeline
    loaders = [step for step in pipeline if step.type in _LOADERS]
    if not loaders:
        raise InputError(
            f'in_channels={channels} needs LoadImage or LoadViews in '
            'train_dataloader.dataset.pipeline, which read such images'
        )
    loaders[0].in_channels = channels
    for step in pipeline:
        for place, view in enumerate(step.get('transforms') or []):
            step.transforms[place] = [_colourless(each) for each in view if _applies(each)]
    preprocessor = model.setdefault(
        'data_preprocessor', ConfigDict(cfg.get('data_preprocessor') or {})
    )
    preprocessor.to_rgb = False
    given = [preprocessor.get(name) or () for name in ('mean', 'std')]
    if not all(len(values) == channels for values in given):
        preprocessor.mean, preprocessor.std = _measure(cfg.train_dataloader.dataset, loaders[0])
    say(
        f'in_channels={channels}: no saturation, hue, grey or pictures; '
        f'mean {_words(preprocessor.mean)}, standard deviation {_words(preprocessor.std)} on the '
        'scale 0 … 255.'
    )


def _words(values: list[float]) -> str:
    return ' '.join(f'{value:.4g}' for value in values)


def _applies(step: ConfigDict) -> bool:
    return step.type != 'ViewGrayscale'


def _colourless(step: ConfigDict) -> ConfigDict:
    return ConfigDict(step, saturation=0, hue=0) if step.type == 'ViewColorJitter' else step


def _measure(dataset: ConfigDict, loader: ConfigDict) -> tuple[list[float], list[float]]:
    """Mean and standard deviation of each channel, over images evenly drawn."""
    own = 'max_pixels', 'in_channels', 'value_range'
    step = LoadImage(**{name: loader[name] for name in own if name in loader})
    images = DATASETS.build(dict(dataset, pipeline=[step]))
    count, total, squares = 0, 0.0, 0.0
    for index in np.linspace(0, len(images) - 1, min(len(images), _MEASURED)).astype(int):
        values = images[int(index)]['img'].astype(np.float64)
        count += values.shape[0] * values.shape[1]
        total = total + values.sum((0, 1))
        squares = squares + np.square(values).sum((0, 1))
    mean = total / count
    std = np.sqrt(np.maximum(squares / count - mean**2, 0))
    flat = np.flatnonzero(std < 1e-6).tolist()
    if flat:
        raise InputError(
            f'the channels {flat} (from 0) have one value in all of the images that were looked '
            'at: leave them out of the files, or set mean and std of model.data_preprocessor'
        )
    return mean.round(4).tolist(), std.round(4).tolist()
