"""Finds the vision transformers in the nested dictionaries of a checkpoint."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

from torch import Tensor

from ..errors import InputError
from .architecture import some
from .checkpoint import MOST_TENSORS
from .names import PATCH_EMBEDDINGS

# Each vision transformer has one patch embedding; what comes before it is the path to the network.
_ANCHORS = PATCH_EMBEDDINGS | dict(dinov3='embeddings.patch_embeddings.weight')
# Parts of a path that name a moving average of another network in the same file.
_TEACHERS = {
    'teacher', 'momentum_encoder', 'target_encoder', 'model_ema', 'state_dict_ema',
    'ema_state_dict', 'ema',
}  # fmt: skip
_STUDENTS = {'student', 'base_encoder'}
_CONVOLUTIONS = re.compile(r'patch_embed\.(proj\.\d|backbone\.)')
_OPTIMIZERS = ('optimizer', 'optimizers', 'opt', 'param_groups', 'optim')
# A pickle of a few bytes may hold a dictionary that holds itself, or one weight under many names.
_MAX_DEPTH = 32
_MAX_NAME = 1000  # characters, with the dictionaries that it lies in


@dataclass
class Network:
    """A vision transformer as a file names it."""

    path: str  # before its names, of all dictionaries that it lies in; '' or ending in a dot
    layout: str  # whose names they are: a key of PATCH_EMBEDDINGS, or 'dinov3'
    role: str  # 'teacher', 'student', or 'network' where the path does not say
    weights: dict[str, Tensor]  # by their names without the path
    dropped: list[str]  # names in the file, with their paths, that lie outside of it


def find_network(content: Mapping[str, Any], which: str) -> Network:
    """The ``'teacher'`` or the ``'student'`` in nested dictionaries, or the only network there.

    Raises:
        ValueError: As the end of a sentence, if there is none or more than one.
    """
    tensors = dict(islice(_walk(content, seen=set()), MOST_TENSORS + 1))
    if len(tensors) > MOST_TENSORS:
        raise InputError(f'holds more than {MOST_TENSORS:,} tensors, which no model has')
    layouts = {
        name.removesuffix(anchor): layout
        for name in tensors
        for layout, anchor in _ANCHORS.items()
        if name == anchor or name.endswith('.' + anchor)
    }
    if not layouts:
        raise InputError(_what_else(content, tensors))
    roles = {path: _role(path) for path in layouts}
    if 'teacher' in roles.values():  # then what is no teacher is the network that it follows
        roles = {path: 'student' if role == 'network' else role for path, role in roles.items()}
    chosen = [path for path, role in roles.items() if role == which]
    chosen = chosen or [path for path, role in roles.items() if role == 'network']
    if not chosen:
        other = 'student' if which == 'teacher' else 'teacher'
        raise InputError(f"has no {which}, only a {other}: ask for which='{other}'")
    if len(chosen) > 1:
        raise InputError(
            f'has several vision transformers, at {some([*map(repr, chosen)])}: save the one '
            'that you want by itself'
        )
    path = chosen[0]
    inside = {name[len(path) :]: value for name, value in tensors.items() if name.startswith(path)}
    outside = [name for name in tensors if not name.startswith(path)]
    return Network(path, layouts[path], roles[path], inside, outside)


def find_part(content: Mapping[str, Any], network: Network, name: str) -> dict[str, Tensor]:
    """Weights of another part of the model that a network belongs to, such as a head.

    It lies beside the network or, where only the student has it, beside what the teacher follows.
    In mmpretrain's MoCo v3 the ``'neck'`` comes after the backbone in a sequence.

    Args:
        content (Mapping): Nested dictionaries, in which :func:`find_network` found the network.
        network (Network): The backbone.
        name (str): Of the part.

    Returns:
        dict[str, Tensor]: By their names in the part; empty if there is none.
    """
    beside = network.path.removesuffix('backbone.')
    followed = ''.join(f'{part}.' for part in beside.split('.')[:-1] if part not in _TEACHERS)
    prefixes = dict.fromkeys((f'{beside}{name}.', f'{followed}{name}.'))
    if network.path.endswith('momentum_encoder.module.0.') and name == 'neck':
        prefixes = dict.fromkeys((f'{network.path.removesuffix("0.")}1.',))
    elif not network.path.endswith('backbone.'):
        return {}
    tensors = dict(islice(_walk(content, seen=set()), MOST_TENSORS + 1))
    for prefix in prefixes:
        found = {key[len(prefix) :]: x for key, x in tensors.items() if key.startswith(prefix)}
        if found:
            return found
    return {}


def _walk(
    content: Mapping[str, Any], seen: set[int], path: str = '', depth: int = 0
) -> Iterator[tuple[str, Tensor]]:
    """Tensors of nested dictionaries with the names of these before theirs.

    A dictionary that lies in several places counts where it is met first.
    """
    seen.add(id(content))
    for name, value in content.items():
        if not isinstance(name, str) or len(path) + len(name) > _MAX_NAME:
            continue
        if isinstance(value, Tensor):
            yield path + name, value
        elif isinstance(value, Mapping) and name not in _OPTIMIZERS and depth < _MAX_DEPTH:
            if id(value) not in seen:
                yield from _walk(value, seen, f'{path}{name}.', depth + 1)


def _role(path: str) -> str:
    parts = set(path.split('.'))
    if parts & _TEACHERS:
        return 'teacher'
    return 'student' if parts & _STUDENTS else 'network'


def _what_else(content: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> str:
    """The end of a sentence on a file without a vision transformer."""
    if not tensors and any(name in content for name in _OPTIMIZERS):
        return 'holds the state of an optimiser and no weights of a model'
    if not tensors:
        return 'holds no weights'
    if any(name.endswith('layer1.0.conv1.weight') for name in tensors):
        return 'holds a ResNet, not a vision transformer'
    if any(_CONVOLUTIONS.search(name) for name in tensors):
        return 'holds a vision transformer with a stem of convolutions, which is not read'
    return (
        'holds no vision transformer that this package knows: there is no patch embedding among '
        f'its {len(tensors)} tensors, such as {", ".join(list(tensors)[:3])}'
    )
