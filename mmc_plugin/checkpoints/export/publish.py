"""Makes the file that is given away out of the checkpoint of a run."""

from __future__ import annotations

import os
import os.path as osp
import re
import tempfile
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ...durable import replace_durably
from ...errors import InputError
from ..files import file_hash, read_checkpoint
from ..run_config import read_run_config
from .export import refuse_existing
from .exported_backbone import as_code

_NOT_WEIGHTS = re.compile(r'opt(im|imi[sz]ers?)?|(.+_)?scaler|param_groups|(.*_)?schedulers?|.*hub')
# Settings that name files of the machine that the run was on.
_PATHS = ('checkpoint', 'init_cfg', 'pretrained', 'load_from')
_KEPT = ('epoch', 'iter')
_DIGITS = 8


def publish(source: str, out: str, force: bool = False, allow_pickle: bool = False) -> str:
    """Write the weights of a checkpoint, and of the rest what it takes to load them.

    Optimiser, schedules, logs, and paths of the run are left out; of its configuration the model
    and the preprocessing of images stay.

    Args:
        source (str): A file of ``torch.save``.
        out (str): File to write, with or without ``.pth``; its name gets the first digits of its
            hash, by which ``torch.hub`` and mmengine check a download.
        force (bool): Replace what is there.
        allow_pickle (bool): See :func:`~mmc_plugin.checkpoints.read_checkpoint`.

    Returns:
        str: Path of the file, ``<out>-<8 digits>.pth``.

    Raises:
        FileExistsError: If that is there.
        FileNotFoundError: If there is no such source.
        ValueError: If it holds no weights.
    """
    checkpoint = read_checkpoint(source, allow_pickle)
    if checkpoint.kind != 'torch':
        raise InputError(
            f'{source} is a {checkpoint.kind} file, which has nothing to be taken out: publish it '
            'as it is'
        )
    content = checkpoint.content
    kept = {name: _compact(value) for name, value in content.items() if _is_weights(name, value)}
    if not kept:
        raise InputError(f'{source} holds no weights of a model')
    if isinstance(meta := content.get('meta'), Mapping):
        config = _without_paths(read_run_config(meta.get('cfg')))
        lines = [f'{name} = {as_code(value)}\n' for name, value in config.items()]
        numbers = {name: meta[name] for name in _KEPT if isinstance(meta.get(name), int)}
        kept['meta'] = numbers | dict(cfg=''.join(lines))
    if isinstance(content.get('arch'), str):  # tells the releases of MoCo-v3 from others
        kept['arch'] = content['arch']
    stem = osp.abspath(out.removesuffix('.pth'))
    os.makedirs(osp.dirname(stem), exist_ok=True)
    with tempfile.TemporaryDirectory(prefix='.publish.', dir=osp.dirname(stem)) as folder:
        temporary = osp.join(folder, 'checkpoint.pth')
        with open(temporary, 'wb') as file:  # torch writes the name of a path into the file
            torch.save(kept, file)
        path = f'{stem}-{file_hash(temporary)[:_DIGITS]}.pth'
        refuse_existing(path, force)
        replace_durably(temporary, path)
    return path


def _is_weights(name: str, value: Any) -> bool:
    if _NOT_WEIGHTS.fullmatch(name):
        return False
    if isinstance(value, Mapping):
        return bool(value) and all(isinstance(each, Tensor) for each in value.values())
    return isinstance(value, Tensor)


def _compact(value: Any) -> Any:
    """Tensors by themselves: a part of a larger storage would be saved with all of that."""
    if isinstance(value, Mapping):
        return {name: _compact(each) for name, each in value.items()}
    whole_storage = value.untyped_storage().nbytes() == value.nbytes
    return value.detach() if whole_storage else value.detach().clone()


def _without_paths(config: dict[str, Any]) -> dict[str, Any]:
    return {
        name: _without_paths(value) if isinstance(value, dict) else value
        for name, value in config.items()
        if name not in _PATHS
    }
