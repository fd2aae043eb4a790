"""Which keys the parts of a config may have: the arguments of the classes that they name."""

from __future__ import annotations

import collections.abc
import inspect
import sys
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from mmengine import registry as registries
from mmengine.registry import Registry
from mmengine.runner import (
    EpochBasedTrainLoop,
    IterBasedTrainLoop,
    LogProcessor,
    Runner,
    TestLoop,
    ValLoop,
)
from torch.utils.data import DataLoader

# Keys that the hosts take beside the arguments of the class that a part names.
BESIDE = {'type', '_scope_', '_delete_', 'init_cfg'}
OF_KIND = {
    'optim_wrapper': {'constructor', 'paramwise_cfg', 'optimizer'},
    'param_scheduler': {'convert_to_iter_based', 'epoch_length'},
}
TOP = {
    'checkpoint_key', 'compile', 'custom_imports', 'find_unused_parameters', 'model_wrapper_cfg',
    'fit_to_data', 'in_channels', 'init_from', 'runner_type', 'strategy', 'sync_bn',
}  # fmt: skip
HOSTS = {'mmpretrain.registry', 'mmseg.registry', 'mmdet.registry'}
NEAR = 0.85  # likeness of two names of which one is a slip of the other


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


def known_keys() -> set[str]:
    """The keys at the top of a config that mmengine, the tools or the hosts read."""
    return set(inspect.signature(Runner.__init__).parameters) | TOP


def accepted(part: Mapping, path: list[str]) -> Arguments:
    """Keys that a part of a config may have."""
    if not path:
        return Arguments(known_keys())
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
    if len(path) == 1 and name in DEFAULTS:
        return Arguments(arguments(DEFAULTS[name]).names | {'type'})
    if name in OF_FAMILY and not OF_FAMILY[name] & set(part):
        return ANYTHING
    if path == ['model', 'test_cfg']:
        return Arguments({'mode', 'crop_size', 'stride'}, others=True)
    return UNTYPED.get(name, ANYTHING)


# What mmengine builds where a part names no type.
DEFAULTS = dict(log_processor=LogProcessor, val_cfg=ValLoop, test_cfg=TestLoop)
# Keys of mmsegmentation's data sets and of MMC, where another class may have others of that name.
OF_FAMILY = dict(
    data_prefix={'img_path', 'seg_map_path', 'depth_map_path'}, loss_weights={'rec', 'patch', 'cls'}
)
# Of the parts that name no type; of hooks only those with a type may be added.
UNTYPED = dict(
    auto_scale_lr=Arguments({'base_batch_size', 'enable'}),
    randomness=Arguments({'seed', 'diff_rank_seed', 'deterministic'}),
    clip_grad=Arguments(
        {'type', 'max_norm', 'norm_type', 'error_if_nonfinite', 'foreach', 'clip_value'}
    ),
    paramwise_cfg=Arguments(
        {
            'bias_decay_mult', 'bias_lr_mult', 'bypass_duplicate', 'custom_keys', 'decay_rate',
            'dcn_offset_lr_mult', 'decay_type', 'dwconv_decay_mult', 'flat_decay_mult',
            'layer_decay_rate', 'norm_decay_mult', 'num_layers',
        }
    ),
    default_hooks=Arguments(set()),
    env_cfg=Arguments({'cudnn_benchmark', 'mp_cfg', 'dist_cfg', 'resource_limit'}),
    mp_cfg=Arguments({'mp_start_method', 'opencv_num_threads'}),
    dist_cfg=Arguments({'backend', 'timeout', 'init_backend'}, others=True),
    **{name: Arguments(names) for name, names in OF_FAMILY.items()},
)  # fmt: skip


def resolve(kind: Any) -> list[Any]:
    """The classes and functions that ``type`` may name: hosts use one name for several."""
    if not isinstance(kind, str):
        return [kind]
    scope, _, name = kind.rpartition('.')
    found = [
        each.module_dict[name]
        for each in all_registries()
        if name in each.module_dict and scope in ('', each.scope)
    ]
    if found:
        return list(dict.fromkeys(found))
    # One that its registry has yet to import, or the path of a function.
    return [found for each in all_registries() if (found := each.get(kind))][:1]


def all_registries() -> list[Registry]:
    """mmengine's, their children in the hosts, and the hosts' own roots."""
    modules = [registries, *(m for name, m in sys.modules.items() if name in HOSTS)]
    roots = {id(each): each for m in modules for each in vars(m).values() if _is_registry(each)}
    return [each for root in roots.values() for each in (root, *root.children.values())]


def _is_registry(value: Any) -> bool:
    return isinstance(value, Registry)


def arguments(kind: Any) -> Arguments:
    """Names of the arguments that a class takes, its parents' too, or a function."""
    names: set[str] = set()
    if _calls(kind) == [object.__init__] and kind.__new__ is object.__new__:
        return Arguments(names)  # whatever its signature says
    for call in _calls(kind):
        parameters = inspect.signature(call).parameters.values()
        names |= {p.name for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)}
        if not any(p.kind == p.VAR_KEYWORD for p in parameters):
            return Arguments(names - {'self'})
    return Arguments(names - {'self'}, others=True)


def _calls(kind: Any) -> list[Callable]:
    """What takes the arguments: the constructors of a class and its parents, or a function."""
    if inspect.isclass(kind):
        return [each.__init__ for each in kind.__mro__ if '__init__' in vars(each)]
    return [kind] if inspect.isfunction(kind) else []


def value_of(part: Mapping, name: str) -> Any:
    """An argument of a part, or what its class takes for it by default; None if it has none."""
    if name in part:
        return part[name]
    for call in _calls(next(iter(resolve(part.get('type'))), None)):
        parameter = inspect.signature(call).parameters.get(name)
        if parameter is not None:
            return None if parameter.default is parameter.empty else parameter.default
    return None


def wrong_type(kind: Any, name: str, value: Any) -> str | None:
    """What an argument must be, by its annotation, if a value plainly is not; else None.

    Annotations are often narrower than what is taken. So only three things count: text where
    numbers or truths are wanted, a number for a truth, and a fraction for a whole number.
    """
    for call in _calls(kind):
        if name not in inspect.signature(call).parameters:
            continue
        try:
            hint = typing.get_type_hints(call).get(name)
        except (NameError, TypeError, AttributeError):  # imported for type checkers only
            return None
        kinds = _kinds(hint)
        text = isinstance(value, str) and kinds <= {bool, int, float, list}
        truth = kinds == {bool} and value not in (True, False, None)
        whole = kinds == {int} and isinstance(value, float) and not value.is_integer()
        if kinds and (text or truth or whole):
            words = {
                bool: 'True or False',
                int: 'a whole number',
                float: 'a number',
                list: 'a list',
            }
            return ' or '.join(words[each] for each in words if each in kinds)
        return None
    return None


def _kinds(hint: Any) -> set[Any]:
    """The types in an annotation; of lists and tuples ``list``, of what is no plain type itself."""
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        return set().union(*map(_kinds, typing.get_args(hint)))
    if origin in (list, tuple, collections.abc.Sequence):
        return {list}
    return set() if hint in (None, type(None)) else {hint}
