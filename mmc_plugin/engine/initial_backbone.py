"""A pretraining that starts from the backbone and heads in a checkpoint of any known kind."""

from __future__ import annotations

import os

import torch
from mmengine.config import Config, ConfigDict
from mmengine.utils import to_2tuple
from mmpretrain.registry import MODELS

from ..checkpoints import read_backbone, read_checkpoint
from ..checkpoints.architecture import channels_of
from ..checkpoints.checkpoint import Checkpoint
from ..checkpoints.heads import read_head
from ..errors import InputError
from ..models.selfsup.base import StudentTeacher
from ..models.utils.pretrained_head import head_shapes
from ..wording import counted
from .cli import say
from .config_parts import value_of


def set_initial_backbone(cfg: Config, source: str, allow_pickle: bool = False) -> None:
    """Let student and teacher of ``cfg`` start with the backbone in a checkpoint, in place.

    The architecture is that of the checkpoint, whatever ``cfg`` says: width, depth, patch size,
    registers, LayerScale. Heads and masks follow it, and images are normalised as it was trained
    with. Image size and schedule stay; positions are resized. Heads of the same name and shapes in
    the checkpoint are taken, too; others start anew. What was taken and what was not is said.

    For other ``in_channels`` than 3 a patch embedding for RGB is adapted as timm does it, and
    images are normalised as :func:`~mmc_plugin.engine.channels.set_in_channels` says.

    Args:
        cfg (Config): Of a method with a student and a momentum teacher.
        source (str): What :func:`~mmc_plugin.checkpoints.read_backbone` reads.
        allow_pickle (bool): Run the code in a pickle. Only for files that you trust.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it holds no vision transformer, or its patches do not fit the images.
    """
    backbone = cfg.model.get('backbone', {})
    kind = MODELS.get(cfg.model.type) if isinstance(cfg.model.get('type'), str) else None
    if not (isinstance(kind, type) and issubclass(kind, StudentTeacher)):
        raise InputError(
            f'{cfg.filename} trains no backbone with a momentum teacher, which could start from '
            f'{source}: set load_from, or init_cfg of a part of the model'
        )
    if os.path.exists(source):
        source = os.path.abspath(source)
    cfg.init_from = source
    checkpoint = read_checkpoint(source, allow_pickle)
    weights = read_backbone(checkpoint)
    settings = dict(weights.settings)
    patch, before = settings['patch_size'], backbone.get('patch_size', 16)
    img_size = backbone.get('img_size', 224)  # of mmpretrain, as the 16
    size = to_2tuple(img_size)
    if not isinstance(patch, int) or any(side % patch for side in size):
        raise InputError(
            f'the checkpoint {source} has patches of {patch} pixels, which do not divide images of '
            f'{size[0]}×{size[1]}: name another one, or train with an image size that they divide'
        )
    channels, own = cfg.get('in_channels') or 3, channels_of(settings)
    if own not in (3, channels):
        raise InputError(
            f'the checkpoint {source} takes images of {own} channels: set in_channels={own}, or '
            'name another one'
        )
    if channels != 3:
        settings['in_channels'] = channels
    cfg.model.backbone = ConfigDict(
        settings,
        type='PretrainedViT',
        checkpoint=source,
        allow_pickle=allow_pickle,
        frozen=False,
        img_size=img_size,
        drop_path_rate=backbone.get('drop_path_rate', 0.0),
        out_type='raw',
    )
    follow = dict(in_channels=settings['arch']['embed_dims'], patch_size=patch)
    for name, head in cfg.model.items():
        if name != 'backbone' and isinstance(head, dict):
            head.update({key: value for key, value in follow.items() if key in head})
    for step in cfg.train_dataloader.dataset.get('pipeline', []):
        for key in ('align', 'patch_size'):
            if value_of(step, key) == before:  # SiT aligns to single pixels
                step[key] = patch
    preprocessor = cfg.model.setdefault(
        'data_preprocessor', ConfigDict(cfg.get('data_preprocessor') or {})
    )
    if own == channels:
        preprocessor.update(mean=list(weights.mean), std=list(weights.std))
    else:
        say(f'Its patch embedding of 3 channels is adapted to {channels}, as timm does it.')
    say(f'Student and teacher start with the backbone of {weights}; SHA-256 {checkpoint.sha256}.')
    taken = _set_heads(cfg, checkpoint, allow_pickle)
    left = len(weights.dropped) - taken
    if left > 0:
        say(f'Left out {counted(left, "other weight")} of {source}.')


def _set_heads(cfg: Config, checkpoint: Checkpoint, allow_pickle: bool) -> int:
    """Let the heads start with those in a checkpoint that fit; the number of weights taken."""
    taken = 0
    for name, head in cfg.model.items():
        if not (name.endswith('head') and isinstance(head, dict)):
            continue
        with torch.device('meta'):
            shapes = head_shapes(MODELS.build(head))
        weights, wrong = read_head(checkpoint, name, shapes)
        taken += len(weights)
        if weights:
            head.init_cfg = ConfigDict(
                type='PretrainedHead',
                checkpoint=checkpoint.path,
                name=name,
                allow_pickle=allow_pickle,
            )
            say(f'model.{name} starts with {counted(len(weights), "weight")} from there.')
        elif wrong:
            say(
                f'model.{name} starts anew, since that of the checkpoint differs; '
                f'{"; ".join(wrong)}.'
            )
        else:
            say(f'model.{name} starts anew: the checkpoint has none.')
    return taken


def forget_initial_backbone(cfg: Config) -> str | None:
    """Let a run that is resumed not read again what it began from, which may be gone.

    Returns:
        str | None: What it was.
    """
    model = cfg.get('model', {})
    backbone = model.get('backbone') or {}
    for head in model.values():
        init = head.get('init_cfg') if isinstance(head, dict) else None
        if isinstance(init, dict) and init.get('type') == 'PretrainedHead':
            del head['init_cfg']
    if backbone.get('frozen', True) or backbone.get('arch', 'auto') == 'auto':
        return None
    source, backbone.checkpoint = backbone.get('checkpoint'), None
    return source
