"""A pretraining in one call."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from ..engine import cli
from ..engine.checkpoint import find_resumable_checkpoint, inspect_checkpoint
from ..engine.training import train, training_config
from ..errors import InputError

# Networks of the configs for a folder, by what they are called for short.
MODELS = dict(vitt8='mmc/vitt_folder.py', vits16='mmc/vits_folder.py', vitb16='mmc/vitb_folder.py')


def pretrain(
    data: str | os.PathLike,
    out: str | os.PathLike,
    model: str | os.PathLike = 'vits16',
    epochs: int | None = None,
    init_from: str | os.PathLike | None = None,
    options: Mapping[str, Any] | None = None,
) -> str:
    """Pretrain a vision transformer with MMC (arXiv 2308.11448) on a folder of images.

    The way is that of ``tools/train.py --resume`` with the same config: a call that was
    interrupted goes on when it is made again, one that had finished returns at once, and more
    epochs continue it with the schedule of that length. A GPU is found by itself; several take the
    command line. Files that are no image are left out and listed in ``out``.

    Args:
        data (str | PathLike): Folder of images: any nesting, any names, no labels.
        out (str | PathLike): Folder for checkpoints, logs and the config.
        model (str | PathLike): A name of :data:`MODELS`, ``'vitt8'`` (a small one, for a CPU),
            ``'vits16'`` or ``'vitb16'``, or a config file. Defaults to ``'vits16'``.
        epochs (int, optional): Defaults to those of the config, 200 (``'vitt8'``: 100).
        init_from (str | PathLike, optional): A checkpoint of any format that
            :func:`load_backbone` reads, with whose backbone, and heads where they fit, student and
            teacher start; its architecture takes the place of the model's. Of no account in a run
            that goes on.
        options (Mapping[str, Any], optional): Further settings of the config by dotted keys, as
            ``--cfg-options`` takes them: ``{'train_dataloader.batch_size': 48}``.

    Returns:
        str: The newest checkpoint, of which :func:`load_backbone` and :class:`PromptSegmenter` take
        the teacher.

    Raises:
        FileNotFoundError: If ``data``, the config or ``init_from`` does not exist.
        ValueError: If a setting, the images or ``init_from`` cannot be used.
    """
    config = MODELS.get(model, os.fspath(model))
    if not config.endswith('.py'):
        raise InputError(
            f'model must be {", ".join(map(repr, MODELS))} or a config file, got {model!r}'
        )
    out, settings = os.path.expanduser(os.fspath(out)), dict(options or {})
    if os.path.isfile(out):
        raise InputError(f'out is {out}, which is a file: it must be a folder')
    settings['train_dataloader.dataset.data_root'] = os.path.abspath(
        os.path.expanduser(os.fspath(data))
    )
    if epochs is not None:
        settings['train_cfg.max_epochs'] = epochs
    cfg = training_config(
        config,
        settings,
        out,
        resume='auto' if find_resumable_checkpoint(out) else None,
        init_from=None if init_from is None else os.path.expanduser(os.fspath(init_from)),
    )
    unit = 'epoch' if cfg.train_cfg.get('max_epochs') else 'iter'
    done = inspect_checkpoint(cfg.load_from)[unit] if cfg.resume else 0
    if done < cfg.train_cfg[f'max_{unit}s']:
        for name in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
            cli.complete_loader(cfg, name)
        train(cfg)
    return find_resumable_checkpoint(out)
