"""Whether the weights that a training or test starts from fit its model, before data are read."""

from __future__ import annotations

import logging
import math
import os.path as osp
import re

import torch
from mmengine.config import Config
from mmengine.logging import print_log
from mmengine.model import is_model_wrapper
from mmpretrain.registry import MODELS
from torch import Tensor, nn

from ..checkpoints import read_checkpoint
from ..checkpoints.architecture import misfits
from ..errors import InputError

_MOST_LOST = 0.5  # of the numbers in a model; a fine-tuning leaves out a head
_UNTESTED = re.compile(
    r'auxiliary_head\..*|.*\.num_batches_tracked'
)  # no prediction depends on them
_POSITIONS = re.compile(r'(.*\.)?pos_embed')  # mmpretrain resizes them when it loads


def check_weights(
    cfg: Config,
    model: nn.Module | dict | None,
    allow_pickle: bool = False,
    allow_misfit: bool = False,
    test: bool = False,
) -> None:
    """Compare ``cfg.load_from`` with the model; mmengine goes on with whatever fits.

    Weights that are left out are said in one sentence. Where more than half of the model's would
    be, or all of the backbone's, or, in a test or a run that is resumed, any, it is an error.

    Args:
        cfg (Config): With ``load_from``, ``resume`` and ``model``.
        model (nn.Module | dict | None): The runner's. One that is not built yet is built without
            memory for its weights.
        allow_pickle (bool): Compare nothing where the checkpoint holds code, which mmengine will
            run when it reads it.
        allow_misfit (bool): Say it, and go on.
        test (bool): Nothing will be trained, so that what is left out stays random.

    Raises:
        ValueError: With the weights that do not fit.
    """
    path, resume = cfg.get('load_from'), bool(cfg.get('resume'))
    if not isinstance(path, str) or not osp.isfile(path):
        return  # from elsewhere, or nothing
    try:
        content = read_checkpoint(path).content
    except InputError:
        if allow_pickle:
            return  # its code is run once, by mmengine, and not for a comparison
        raise
    state = content.get('state_dict', content)
    found = {
        re.sub(r'^module\.', '', str(name)): value
        for name, value in (state.items() if isinstance(state, dict) else ())
        if isinstance(value, Tensor)
    }
    shapes = _shapes(cfg, model, found)
    if test:
        shapes = {name: shape for name, shape in shapes.items() if not _UNTESTED.fullmatch(name)}
    lost = [
        name for name in shapes if name not in found or tuple(found[name].shape) != shapes[name]
    ]
    if not lost:
        return
    kept = {name: value for name, value in found.items() if name in shapes}
    what = '; '.join(misfits(kept, shapes))
    share = _count(shapes, lost) / max(_count(shapes, shapes), 1)
    backbone = [name for name in shapes if name.startswith('backbone.')]
    whole = ' and the whole backbone' if backbone and set(backbone) <= set(lost) else ''
    text = (
        f'{path} does not fit the model: {len(lost)} of its {len(shapes)} weights'
        f'{whole}, {share:.0%} of the numbers, would not come from it ({what})'
    )
    if allow_misfit or not (resume or test or whole or share > _MOST_LOST):
        print_log(f'{text}.', logger='current', level=logging.WARNING)
        return
    way_out = (
        'resume with the config that wrote it, or start a new run with load_from instead'
        if resume
        else 'give the config that it was trained with'
        if test
        else 'set model as it was trained'
    )
    raise InputError(f'{text}: {way_out}; --allow-misfit takes what fits')


def _shapes(
    cfg: Config, model: nn.Module | dict | None, found: dict[str, Tensor]
) -> dict[str, tuple[int, ...]]:
    """Name → shape of each weight of the model; of positions, what they may be resized from."""
    if not isinstance(model, nn.Module):
        with torch.device('meta'):
            model = MODELS.build(cfg.model)
    if is_model_wrapper(model):
        model = model.module
    shapes = {
        name: tuple(value.shape)
        for name, value in model.state_dict().items()
        if isinstance(value, Tensor)
    }
    for name in [] if cfg.get('resume') else filter(_POSITIONS.fullmatch, shapes):
        shape = tuple(found[name].shape) if name in found else ()
        if len(shape) == 3 and shape[::2] == shapes[name][::2]:
            shapes[name] = shape
    return shapes


def _count(shapes: dict[str, tuple[int, ...]], names: list[str] | dict) -> int:
    return sum(math.prod(shapes[name]) for name in names)
