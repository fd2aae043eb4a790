"""What a config gets wrong, found before anything is built."""

from __future__ import annotations

import inspect
import logging
import math
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from mmengine import registry as registries
from mmengine.config import Config
from mmengine.logging import print_log
from mmengine.registry import Registry
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop, Runner
from torch.utils.data import DataLoader

from ..errors import InputError

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
# Keys that the hosts take beside the arguments of the class that a part names.
BESIDE = {'type', '_scope_', '_delete_', 'init_cfg'}
OF_KIND = {
    'optim_wrapper': {'constructor', 'paramwise_cfg', 'optimizer'},
    'param_scheduler': {'convert_to_iter_based', 'epoch_length'},
}
TOP = {
    'checkpoint_key', 'compile', 'custom_imports', 'find_unused_parameters', 'model_wrapper_cfg',
    'fit_to_data', 'runner_type', 'strategy', 'sync_bn',
}  # fmt: skip
HOSTS = {'mmpretrain.registry', 'mmseg.registry', 'mmdet.registry'}
# Parts that are built from a registry; elsewhere hosts have types that are no such names.
BUILT = (
    r'model(\.\w+_head|\.features|(\.features)?\.backbone)?|optim_wrapper(\.optimizer)?|visualizer|param_scheduler\.\d+'
    r'|default_hooks\.\w+|custom_hooks\.\d+|\w+_dataloader\.(dataset|sampler)'
    r'|\w+_dataloader\.dataset\.pipeline\.\d+'
)
NEAR = 0.85  # likeness of two names of which one is a slip of the other


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
            if not new_part and not _accepted(place, parts[:depth]).take(part):
                raise InputError(
                    f'--cfg-options {key}: nothing reads this key{_instead(whole, key)} '
                    '(--strict-config off adds keys on purpose)'
                )
            break


def _instead(cfg: Mapping, key: str) -> str:
    """The end of a sentence that names what may have been meant."""
    known = sorted(set(_dotted(cfg)))
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
        names = set(value) | (_accepted(value, path.split('.')).names if path else set())
        for name in names - BESIDE:
            inner = f'{path}.{name}' if path else str(name)
            yield inner
            yield from _dotted(value.get(name), inner)
    elif isinstance(value, list | tuple):
        for number, each in enumerate(value):
            yield from _dotted(each, f'{path}.{number}')


@dataclass
class Arguments:
    """Names that something takes, and whether it takes others too."""

    names: set[str]
    others: bool = False

    def take(self, name: str) -> bool:
        """Whether a name will do; a slip of the pen does not, even where others would."""
        if name in self.names:
            return True
        return self.others and not get_close_matches(name, self.names, 1, NEAR)

    def instead(self, name: str) -> str:
        """The end of a sentence that names what may have been meant."""
        near = get_close_matches(name, self.names, 2, 0.5)
        return f': did you mean {" or ".join(near)}?' if near else ''


ANYTHING = Arguments(set(), others=True)


def _accepted(part: Mapping, path: list[str]) -> Arguments:
    """Keys that a part of a config may have."""
    if not path:
        return Arguments(set(inspect.signature(Runner.__init__).parameters) | TOP)
    name = path[-1]
    if part.get('type') is not None:
        named = [arguments(kind) for kind in resolve(part['type'])] or [ANYTHING]
        extra = OF_KIND.get(path[0], set()) if len(path) <= 2 else set()
        names = set().union(BESIDE, extra, *(each.names for each in named))
        return Arguments(names, any(each.others for each in named))
    if name.endswith('_dataloader'):
        return Arguments(set(inspect.signature(DataLoader.__init__).parameters))
    if name == 'train_cfg' and len(path) == 1:
        loops = arguments(EpochBasedTrainLoop).names | arguments(IterBasedTrainLoop).names
        return Arguments(loops | {'by_epoch', 'type'})
    return UNTYPED.get(name, ANYTHING)


# Of the parts that name no type; of hooks only those with a type may be added.
UNTYPED = dict(
    auto_scale_lr=Arguments({'base_batch_size', 'enable'}),
    randomness=Arguments({'seed', 'diff_rank_seed', 'deterministic'}),
    clip_grad=Arguments(
        {'type', 'max_norm', 'norm_type', 'error_if_nonfinite', 'foreach', 'clip_value'}
    ),
    default_hooks=Arguments(set()),
)


def resolve(kind: Any) -> list[Any]:
    """The classes and functions that ``type`` may name: hosts use one name for several."""
    if not isinstance(kind, str):
        return [kind]
    scope, _, name = kind.rpartition('.')
    found = [
        each.module_dict[name]
        for each in _all_registries()
        if name in each.module_dict and scope in ('', each.scope)
    ]
    if found:
        return list(dict.fromkeys(found))
    # One that its registry has yet to import, or the path of a function.
    return [found for each in _all_registries() if (found := each.get(kind))][:1]


def _all_registries() -> list[Registry]:
    """mmengine's, their children in the hosts, and the hosts' own roots."""
    modules = [registries, *(m for name, m in sys.modules.items() if name in HOSTS)]
    roots = {id(each): each for m in modules for each in vars(m).values() if _is_registry(each)}
    return [each for root in roots.values() for each in (root, *root.children.values())]


def _is_registry(value: Any) -> bool:
    return isinstance(value, Registry)


def arguments(kind: Any) -> Arguments:
    """Names of the arguments that a class takes, its parents' too."""
    names: set[str] = set()
    for each in kind.__mro__ if inspect.isclass(kind) else ():
        if '__init__' not in vars(each):
            continue
        parameters = inspect.signature(each.__init__).parameters.values()
        names |= {p.name for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)}
        if not any(p.kind == p.VAR_KEYWORD for p in parameters):
            return Arguments(names - {'self'})
    return Arguments(names - {'self'}, others=True)


def check_config(cfg: Config) -> None:
    """Refuse a config whose parts or values would fail, or void the training, later on.

    Parts are looked at in configs that import this package; a host's own are the host's matter.

    Args:
        cfg (Config): With everything from the command line merged in.

    Raises:
        ValueError: With one sentence.
    """
    known = set(inspect.signature(Runner.__init__).parameters) | TOP
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
    for path, (holds, words) in VALUES.items():
        for place, value in _find(dict(cfg.items()), path.split('.')):
            if value is not None and not holds(value):
                raise InputError(f'{place} is {value!r}: it must be {words}')


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
        names = {name for each in _all_registries() for name in each.module_dict}
        built = re.fullmatch(BUILT, path) is not None
        near = get_close_matches(
            str(part['type']).rpartition('.')[2], names, 2, 0.6 if built else NEAR
        )
        if built or near:
            instead = f': did you mean {" or ".join(near)}?' if near else ''
            raise InputError(f'{path}.type is {part["type"]!r}, which is not registered{instead}')
        return
    kind = found[0]
    if len(found) > 1 or not inspect.isclass(kind) or not kind.__module__.startswith('mmc_plugin'):
        return
    taken = arguments(kind)
    taken.names |= BESIDE | OF_KIND.get(path, set())
    for name in part:
        if not taken.take(name):
            raise InputError(
                f'{path}.{name}: {kind.__name__} has no such argument{taken.instead(name)}'
            )


def _is_int(low: int):
    return lambda value: type(value) is int and value >= low


def _is_number(low: float, high: float = math.inf, open_below: bool = False):
    def holds(value: Any) -> bool:
        if type(value) not in (int, float) or not math.isfinite(value):
            return False
        return (low < value if open_below else low <= value) and value < high

    return holds


_POSITIVE = (_is_number(0, open_below=True), 'a number above 0')
_NOT_NEGATIVE = (_is_number(0), 'a number from 0')
_SHARE = (_is_number(0, 1), 'a number from 0 to below 1')
_COUNT = (_is_int(1), 'a whole number from 1')
_FROM_0 = (_is_int(0), 'a whole number from 0')
_YES_NO = (lambda value: isinstance(value, bool), 'True or False')
# Dotted keys, with * for any → whether a value can be, and in words.
VALUES = {
    'auto_scale_lr.base_batch_size': _POSITIVE,
    'optim_wrapper.optimizer.lr': _POSITIVE,
    'optim_wrapper.optimizer.weight_decay': _NOT_NEGATIVE,
    'optim_wrapper.clip_grad.max_norm': (
        lambda value: type(value) in (int, float) and value > 0, 'a number above 0'),  # or inf
    'optim_wrapper.accumulative_counts': _COUNT,
    'train_cfg.max_epochs': _COUNT,
    'train_cfg.max_iters': _COUNT,
    'train_cfg.val_interval': _COUNT,
    'model.backbone.drop_path_rate': _SHARE,
    'model.backbone.drop_rate': _SHARE,
    'model.loss_weights.*': _NOT_NEGATIVE,
    'model.*.temperature': _POSITIVE,
    '*_dataloader.batch_size': _COUNT,
    '*_dataloader.num_workers': _FROM_0,
    '*_dataloader.dataset.data_root': (
        lambda value: isinstance(value, str | Path), 'the path of one folder'),
    'default_hooks.*.interval': (_is_int(-1), 'a whole number'),
    'resume': _YES_NO,
    'auto_scale_lr.enable': _YES_NO,
    'fit_to_data': _YES_NO,
    'work_dir': (
        lambda value: isinstance(value, str) and not Path(value).is_file(),
        'the path of a folder, and not of a file'),
    'load_from': (lambda value: isinstance(value, str), 'the path of a checkpoint'),
    'randomness.seed': _FROM_0,
}  # fmt: skip


def _find(value: Any, path: list[str], place: str = '') -> Iterator[tuple[str, Any]]:
    """Places and values of a dotted key with wildcards, as far as they are there."""
    if not path:
        yield place.removeprefix('.'), value
    elif isinstance(value, Mapping):
        pattern = re.escape(path[0]).replace(r'\*', '.*')
        for name in value:
            if re.fullmatch(pattern, str(name)):
                yield from _find(value[name], path[1:], f'{place}.{name}')
