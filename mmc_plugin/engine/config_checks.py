"""What a config gets wrong, found before anything is built."""

from __future__ import annotations

import inspect
import logging
import re
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any

from mmengine.config import Config
from mmengine.logging import print_log

from ..errors import InputError
from .config_parts import (
    BESIDE,
    NEAR,
    OF_KIND,
    accepted,
    all_registries,
    arguments,
    known_keys,
    resolve,
    value_of,
    wrong_type,
)
from .config_values import check_values

# What users wish for, by the words that they try, and the key that does it.
WISHES = {
    ('data_root', 'data', 'images', 'img_dir'): 'train_dataloader.dataset.data_root',
    ('batch_size', 'batch', 'samples_per_gpu'): 'train_dataloader.batch_size',
    ('workers', 'num_workers', 'workers_per_gpu'): 'train_dataloader.num_workers',
    ('epochs', 'max_epochs', 'num_epochs'): 'train_cfg.max_epochs',
    ('iters', 'max_iters'): 'train_cfg.max_iters',
    ('lr', 'learning_rate', 'optimizer.lr'): 'optim_wrapper.optimizer.lr',
    ('weight_decay', 'wd', 'optimizer.weight_decay'): 'optim_wrapper.optimizer.weight_decay',
    ('seed', 'random_seed'): 'randomness.seed',
    ('precision', 'amp', 'fp16', 'bf16'): 'optim_wrapper.precision',
    ('momentum', 'ema', 'model.teacher_momentum'): 'model.momentum',
}
# Parts that are built from a registry; elsewhere hosts have types that are no such names.
BUILT = (
    r'model(\.(\w+_)?head|\.features|(\.features)?\.backbone)?|optim_wrapper(\.optimizer)?'
    r'|param_scheduler\.\d+'
    r'|visualizer(\.vis_backends\.\d+)?|default_hooks\.\w+|custom_hooks\.\d+'
    r'|\w+_dataloader\.(dataset|sampler)|\w+_dataloader\.dataset(\.dataset)?\.pipeline\.\d+'
    r'|(val|test)_evaluator(\.\d+)?'
)


def check_options(cfg: Config, options: Mapping[str, Any]) -> None:
    """Refuse options that nothing would read; of a host's config only its upper level is known.

    Args:
        cfg (Config): Before the options are merged in.
        options (Mapping[str, Any]): Dotted key → value, of ``--cfg-options``.

    Raises:
        ValueError: That names the key, and the nearest known ones.
    """
    whole = dict(cfg.items())  # mmengine's Config is no mapping
    for key in options:
        parts = key.split('.')
        _refuse_unread(cfg, parts[0], key)
        place: Any = whole
        for depth, part in enumerate(parts):
            here = '.'.join(parts[:depth])
            if isinstance(place, list | tuple) and re.fullmatch(r'-?\d+', part):
                if not -len(place) <= int(part) < len(place):
                    raise InputError(
                        f'--cfg-options {key}: {here} of this config has {len(place)} parts, '
                        f'counted from 0'
                    )
                place = place[int(part)]
                continue
            if not isinstance(place, Mapping):
                raise InputError(f'--cfg-options {key}: {here} of this config is {place!r}')
            if part in place:
                place = place[part]
                continue
            new_part = f'{".".join(parts[: depth + 1])}.type' in options or options[key] is None
            new_part = new_part and depth > 0
            if f'{here}.type' in options:
                place = dict(place, type=options[f'{here}.type'])
            if depth > 0 and not imports_us(cfg):
                break
            if not new_part and not accepted(place, parts[:depth]).take(part):
                raise InputError(
                    f'--cfg-options {key}: nothing reads this key{_instead(whole, key)} '
                    '(--strict-config off adds keys on purpose)'
                )
            if new_part:
                break
            place = {}


# Top keys that are settled before the options are merged in.
EARLIER = {
    'launcher': 'is set by --launcher',
    'custom_imports': 'is read with the file: set it there',
}


def _refuse_unread(cfg: Config, top: str, key: str) -> None:
    """Refuse options for keys that are there and that nothing reads any more."""
    if top in EARLIER:
        raise InputError(f'--cfg-options {key}: {top} {EARLIER[top]}')
    if top in cfg and imports_us(cfg) and top not in known_keys():
        raise InputError(
            f'--cfg-options {key}: {top} only helps to write the config, and is in its other keys '
            f'already{_instead(dict(cfg.items()), key)} (--strict-config off sets it)'
        )


def _instead(cfg: Mapping, key: str) -> str:
    """The end of a sentence that names what may have been meant."""
    known = sorted(set(_dotted({name: cfg[name] for name in cfg if name in known_keys()})))
    for words, meant in WISHES.items():
        if key in words and meant in known:
            return f': use {meant}'
    by_end: dict[str, list[str]] = {}
    for each in known:
        by_end.setdefault(each.rpartition('.')[2], []).append(each)
    near = get_close_matches(key, known, 3, 0.8)
    for end in get_close_matches(key.rpartition('.')[2], by_end, 2, 0.75):
        near += sorted(by_end[end], key=len)[:2]
    near = list(dict.fromkeys(near))[:3]
    return f': did you mean {" or ".join(near)}?' if near else ''


def _dotted(value: Any, path: str = '') -> Iterator[str]:
    """All keys of a config, and those that its parts would take."""
    if isinstance(value, Mapping):
        names = set(value) | (accepted(value, path.split('.')).names if path else set())
        for name in names - BESIDE:
            inner = f'{path}.{name}' if path else str(name)
            yield inner
            yield from _dotted(value.get(name), inner)
    elif isinstance(value, list | tuple):
        for number, each in enumerate(value):
            yield from _dotted(each, f'{path}.{number}')


def check_config(cfg: Config) -> None:
    """Refuse a config whose parts or values would fail, or void the training, later on.

    Parts are looked at in configs that import this package; a host's own are the host's matter.

    Args:
        cfg (Config): With everything from the command line merged in.

    Raises:
        ValueError: With one sentence.
    """
    check_values(dict(cfg.items()))
    known = known_keys()
    if imports_us(cfg):
        for name, _ in cfg.items():
            near = get_close_matches(name, known, 1, 0.88)
            if name not in known and near:
                print_log(
                    f'The config has {name}, which nothing reads: was {near[0]} meant?',
                    'current',
                    logging.WARNING,
                )
        for path, part in _parts({name: cfg.get(name) for name in known if name in cfg}):
            _check_part(path, part)
        _check_together(cfg)


def _check_together(cfg: Config) -> None:
    """Refuse values that are each right and void a training together."""
    rate = ((cfg.get('optim_wrapper') or {}).get('optimizer') or {}).get('lr')
    schedulers = cfg.get('param_scheduler') or []
    for number, part in enumerate(schedulers if isinstance(schedulers, list) else []):
        kind = part.get('type')
        plans_rate = str(getattr(kind, '__name__', kind)).endswith('LR')
        low = part.get('eta_min') if plans_rate else None  # else of weight decay or momentum
        if rate is not None and low is not None and low > rate:
            raise InputError(
                f'param_scheduler.{number}.eta_min is {low}, above optim_wrapper.optimizer.lr, '
                f'which is {rate}: the learning rate would rise to it'
            )
    hooks = (cfg.get('default_hooks') or {}).values()
    hooks = [str((each or {}).get('type')) for each in (*hooks, *(cfg.get('custom_hooks') or []))]
    model = cfg.get('model') or {}
    if str(model.get('type')).endswith('MMC') and cfg.get('train_cfg'):
        if not any('MomentumTeacherHook' in each for each in hooks):
            raise InputError(
                'the teacher of MMC would never move: default_hooks needs '
                "teacher=dict(type='MomentumTeacherHook')"
            )
    backbone = model.get('backbone') or {}
    patch = None if backbone.get('arch') == 'auto' else value_of(backbone, 'patch_size')
    for path, part in _parts(dict(train_dataloader=cfg.get('train_dataloader'))):
        theirs = value_of(part, 'patch_size') if re.search(r'\.pipeline\.\d+$', path) else None
        if None not in (patch, theirs) and theirs != patch:
            raise InputError(
                f'{path}.patch_size is {theirs}, but model.backbone.patch_size is {patch}: set '
                'both to one value'
            )


def imports_us(cfg: Config) -> bool:
    """Whether a config imports this package, so that its parts are registered."""
    imports = (cfg.get('custom_imports') or {}).get('imports') or []
    imports = [imports] if isinstance(imports, str) else imports
    return any(name.partition('.')[0] == 'mmc_plugin' for name in imports)


def _parts(value: Any, path: str = '') -> Iterator[tuple[str, Mapping]]:
    """Paths and parts of a config that name a type."""
    if isinstance(value, Mapping):
        if value.get('type') is not None:
            yield path, value
        for name, each in value.items():
            yield from _parts(each, f'{path}.{name}' if path else str(name))
    elif isinstance(value, list | tuple):
        for number, each in enumerate(value):
            yield from _parts(each, f'{path}.{number}')


def _check_part(path: str, part: Mapping) -> None:
    found = resolve(part['type'])
    if not found:
        names = {name for each in all_registries() for name in each.module_dict}
        built = re.fullmatch(BUILT, path) is not None
        near = get_close_matches(
            str(part['type']).rpartition('.')[2], names, 2, 0.6 if built else NEAR
        )
        if built or near:
            instead = f': did you mean {" or ".join(near)}?' if near else ''
            raise InputError(f'{path}.type is {part["type"]!r}, which is not registered{instead}')
        return
    kind = found[0]
    for name, value in part.items() if len(found) == 1 else ():
        words = wrong_type(kind, name, value)
        if words:
            raise InputError(f'{path}.{name} is {value!r}: it must be {words}')
    if len(found) > 1 or not inspect.isclass(kind) or not kind.__module__.startswith('mmc_plugin'):
        return
    taken = arguments(kind)
    taken.names |= BESIDE | OF_KIND.get(re.sub(r'\.\d+$', '', path), set())
    for name in part:
        if not taken.take(name):
            raise InputError(
                f'{path}.{name}: {kind.__name__} has no such argument{taken.instead(name)}'
            )
