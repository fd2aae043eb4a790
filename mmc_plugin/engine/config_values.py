"""Which values of a config can be, by their keys."""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mmengine.config.utils import MODULE2PACKAGE

from ..errors import InputError
from .config_parts import all_registries


def _is_int(low: int):
    return lambda value: type(value) is int and value >= low


def _is_number(low: float, high: float = math.inf, open_below: bool = False):
    def holds(value: Any) -> bool:
        if type(value) not in (int, float) or not math.isfinite(value):
            return False
        return (low < value if open_below else low <= value) and value < high

    return holds


def _is_one_of(*names: str):
    return lambda value: value in names, ' or '.join(names)


def _all_are(holds, least: int = 1):
    return lambda value: (
        isinstance(value, list | tuple) and len(value) >= least and all(map(holds, value))
    )


def _scopes() -> set[str]:
    children = {each.scope for each in all_registries()}
    return {*children, *(each.partition('.')[0] for each in MODULE2PACKAGE)}


_POSITIVE = (_is_number(0, open_below=True), 'a number above 0')
_NOT_NEGATIVE = (_is_number(0), 'a number from 0')
_SHARE = (_is_number(0, 1), 'a number from 0 to below 1')
_CHANCE = (lambda value: _is_number(0)(value) and value <= 1, 'a number from 0 to 1')
_COUNT = (_is_int(1), 'a whole number from 1')
_FROM_0 = (_is_int(0), 'a whole number from 0')
_NEVER = (lambda value: value == -1 or _is_int(1)(value), 'a whole number from 1, or -1 for never')
_YES_NO = (lambda value: isinstance(value, bool), 'True or False')
_PART = (lambda value: not isinstance(value, str | int | float | list | tuple), 'a dict')
_PARTS = (lambda value: not isinstance(value, str | int | float), 'a dict or a list of dicts')
_ABOVE_0_OR_INF = (lambda value: type(value) in (int, float) and value > 0, 'a number above 0')
# Dotted keys, with * for any → whether a value can be, and in words. None is "not given".
VALUES = {
    'auto_scale_lr': _PART,
    'auto_scale_lr.base_batch_size': _POSITIVE,
    'auto_scale_lr.enable': _YES_NO,
    'optim_wrapper': _PART,
    'optim_wrapper.optimizer': _PART,
    'optim_wrapper.optimizer.lr': _POSITIVE,
    'optim_wrapper.optimizer.weight_decay': _NOT_NEGATIVE,
    'optim_wrapper.optimizer.momentum': _SHARE,
    'optim_wrapper.optimizer.betas': (
        _all_are(_is_number(0, 1), 2), 'numbers from 0 to below 1, such as (0.9, 0.999)'),
    'optim_wrapper.optimizer.eps': (
        lambda value: _is_number(0)(value) or _all_are(_is_number(0))(value), 'a number from 0'),
    'optim_wrapper.clip_grad': _PART,
    'optim_wrapper.clip_grad.max_norm': _ABOVE_0_OR_INF,
    'optim_wrapper.clip_grad.norm_type': _ABOVE_0_OR_INF,
    'optim_wrapper.accumulative_counts': _COUNT,
    'optim_wrapper.paramwise_cfg.*_mult': _NOT_NEGATIVE,
    'param_scheduler': _PARTS,
    'param_scheduler.#.begin': _FROM_0,
    'param_scheduler.#.end': _COUNT,
    'param_scheduler.#.by_epoch': _YES_NO,
    'param_scheduler.#.eta_min': _NOT_NEGATIVE,
    'param_scheduler.#.T_max': _COUNT,
    'param_scheduler.#.start_factor': _CHANCE,
    'param_scheduler.#.end_factor': _CHANCE,
    'param_scheduler.#.power': _POSITIVE,
    'train_cfg': _PART,
    'train_cfg.by_epoch': _YES_NO,
    'train_cfg.max_epochs': _COUNT,
    'train_cfg.max_iters': _COUNT,
    'train_cfg.val_interval': _COUNT,
    'model': _PART,
    'model.backbone': _PART,
    'model.size': _COUNT,
    'model.stride': _COUNT,
    'model.backbone.checkpoint': (lambda value: isinstance(value, str), 'a file or a name'),
    'model.*_head.hidden_channels': _COUNT,
    'model.momentum': _CHANCE,
    'model.end_momentum': _CHANCE,
    'model.backbone.drop_path_rate': _SHARE,
    'model.backbone.drop_rate': _SHARE,
    'model.loss_weights.*': _NOT_NEGATIVE,
    'model.*.temperature': _POSITIVE,
    'model.temperature': _POSITIVE,
    'model.(rec|entropy)_weight': _NOT_NEGATIVE,
    'model.sinkhorn_rounds': _FROM_0,
    'model.data_preprocessor.std': (
        _all_are(_is_number(0, open_below=True)), 'a list of numbers above 0'),
    'model.data_preprocessor.mean': (_all_are(_is_number(-math.inf)), 'a list of numbers'),
    'model.decode_head.num_classes': _COUNT,
    'model.decode_head.dropout_ratio': (  # mmseg: below 0 there is none
        lambda value: value == -1 or _is_number(0, 1)(value), 'a number from 0 to below 1'),
    'model.test_cfg.mode': _is_one_of('whole', 'slide', 'slide_flip'),
    '*_dataloader': _PART,
    '*_dataloader.batch_size': _COUNT,
    '*_dataloader.num_workers': _FROM_0,
    '*_dataloader.prefetch_factor': _COUNT,
    '*_dataloader.timeout': _NOT_NEGATIVE,
    '*_dataloader.persistent_workers': _YES_NO,
    '*_dataloader.pin_memory': _YES_NO,
    '*_dataloader.drop_last': _YES_NO,
    '*_dataloader.dataset': _PART,
    '*_dataloader.dataset.pipeline': (_all_are(lambda each: True), 'a list of transforms'),
    '*_dataloader.dataset.data_root': (
        lambda value: isinstance(value, str | Path), 'the path of one folder'),
    'default_hooks': _PART,
    'default_hooks.*': _PART,
    'default_hooks.*.interval': (_is_int(-1), 'a whole number'),
    'default_hooks.(checkpoint|logger).interval': _NEVER,
    'default_hooks.checkpoint.max_keep_ckpts': _NEVER,
    'default_hooks.checkpoint.out_dir': (
        lambda value: isinstance(value, str), 'the path of a folder'),
    'custom_hooks': (lambda value: isinstance(value, list | tuple), 'a list of dicts'),
    'custom_hooks.#': _PART,
    'default_scope': (lambda value: value in _scopes(), 'the name of a host, such as mmpretrain'),
    'log_level': (
        lambda value: isinstance(logging.getLevelName(value), int) or type(value) is int,
        'DEBUG, INFO, WARNING or ERROR'),
    'log_processor.window_size': _COUNT,
    'log_processor.by_epoch': _YES_NO,
    'visualizer': _PART,
    'visualizer.vis_backends': (lambda value: isinstance(value, list | tuple), 'a list of dicts'),
    'resume': _YES_NO,
    'fit_to_data': _YES_NO,
    'in_channels': _COUNT,
    'find_unused_parameters': _YES_NO,
    'compile': (lambda value: isinstance(value, bool | Mapping), 'True, False or a dict'),
    'sync_bn': _is_one_of('torch', 'mmcv'),
    'experiment_name': (lambda value: isinstance(value, str), 'a name'),
    'work_dir': (
        lambda value: isinstance(value, str) and value and not Path(value).is_file(),
        'the path of a folder, and not of a file'),
    'load_from': (lambda value: isinstance(value, str) and value, 'the path of a checkpoint'),
    'init_from': (lambda value: isinstance(value, str) and value, 'the path of a checkpoint'),
    'randomness': _PART,
    'randomness.seed': _FROM_0,
    'randomness.deterministic': _YES_NO,
    'randomness.diff_rank_seed': _YES_NO,
    'env_cfg': _PART,
    'env_cfg.cudnn_benchmark': _YES_NO,
    'env_cfg.mp_cfg.mp_start_method': _is_one_of('fork', 'spawn', 'forkserver'),
    'env_cfg.mp_cfg.opencv_num_threads': _FROM_0,
    'env_cfg.dist_cfg.backend': _is_one_of('nccl', 'gloo', 'mpi', 'ccl', 'hccl', 'cncl', 'mccl'),
}  # fmt: skip
# Where None is no value.
NEEDED = {
    'auto_scale_lr.base_batch_size',
    'optim_wrapper.clip_grad.max_norm',
    'optim_wrapper.optimizer.lr',
    'train_cfg.max_epochs',
    'train_cfg.max_iters',
}


def check_values(cfg: Mapping) -> None:
    """Refuse values that a training or test could not use, or that would void it.

    Args:
        cfg (Mapping): Of the whole config.

    Raises:
        InputError: With the key, its value and what it must be.
    """
    for path, (holds, words) in VALUES.items():
        for place, value in _find(cfg, path.split('.')):
            if (value is not None or path in NEEDED) and not holds(value):
                raise InputError(f'{place} is {value!r}: it must be {words}')


def _find(value: Any, path: list[str], place: str = '') -> Iterator[tuple[str, Any]]:
    """Places and values of a dotted key, as far as they are there.

    In it ``*`` stands for anything in a name, ``#`` for each of a list, or of one that is none.
    """
    if not path:
        yield place.removeprefix('.'), value
    elif path[0] == '#' and isinstance(value, list | tuple):
        for number, each in enumerate(value):
            yield from _find(each, path[1:], f'{place}.{number}')
    elif path[0] == '#':
        yield from _find(value, path[1:], place)
    elif isinstance(value, Mapping):
        pattern = path[0].replace('*', '.*')
        for name in value:
            if re.fullmatch(pattern, str(name)):
                yield from _find(value[name], path[1:], f'{place}.{name}')
