"""The projection head that a checkpoint was trained with."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor, nn

from ...checkpoints.checkpoint import Checkpoint
from ...checkpoints.heads import find_head
from ...checkpoints.networks import find_network
from ...checkpoints.run_config import read_run_config
from ..utils.pretrained_head import head_shapes
from .projection import ProjectionMLP
from .prototypes import PrototypeHead

# Layers of mmpretrain's MoCo v3.
_LAYER = re.compile(r'^(fc|bn)(\d)\.')


def saved_projection(checkpoint: Checkpoint, which: str = 'teacher') -> nn.Module | None:
    """The head on class tokens that a method was trained with, built from its weights.

    Those of runs of this package, of mmpretrain's MoCo v3, and of the releases of DINO, iBOT,
    MC-SSL and MoCo v3. Prototype heads give logits, multilayer perceptrons unit rows.

    Args:
        checkpoint (Checkpoint): With a backbone that
            :func:`~mmc_plugin.checkpoints.read_backbone` reads.
        which (str): Whose head, ``'teacher'`` or ``'student'``, where a file has both.

    Returns:
        nn.Module | None: From (..., D) to (..., K), in evaluation mode; None if the checkpoint has
        no head of these kinds.
    """
    for weights, activations in _candidates(checkpoint, which):
        head = _build(weights, activations)
        shapes = {key: tuple(x.shape) for key, x in weights.items()}
        if head is not None and head_shapes(head) == shapes:
            head.load_state_dict(weights)
            return head.eval().requires_grad_(False)
    return None


def _candidates(checkpoint: Checkpoint, which: str) -> Iterator[tuple[dict[str, Tensor], list]]:
    """Weights by our names, and the two activations that they were trained with."""
    told = read_run_config((checkpoint.config or {}).get('cfg')).get('model')
    for name in ('cls_head', 'head'):
        yield find_head(checkpoint, name, which), _activations(told, name)
    neck = find_head(checkpoint, 'neck', which)
    # Linear, norm, activation: three places each.
    yield {_LAYER.sub(_place, key): value for key, value in neck.items()}, ['ReLU', 'ReLU']
    inside = find_network(checkpoint.content, which).weights  # as the release has it
    own = {f'layers.{k[5:]}': x.detach() for k, x in inside.items() if k.startswith('head.')}
    yield own, ['ReLU', 'ReLU']


def _activations(model: Any, name: str) -> list:
    """What a run's config says; GELU, the default of our heads, where it says nothing."""
    head = model.get(name) if isinstance(model, dict) else None
    found = head.get('act_cfg', dict(type='GELU')) if isinstance(head, dict) else dict(type='GELU')
    found = found if isinstance(found, list | tuple) else [found] * 2
    return [each.get('type') if isinstance(each, dict) else each for each in found]


def _place(layer: re.Match) -> str:
    return f'layers.{3 * int(layer[2]) + (layer[1] == "bn")}.'


def _build(weights: Mapping[str, Tensor], activations: list) -> nn.Module | None:
    """A head for weights by our names; None where they are of another kind."""
    widths = [len(weights[f'layers.{i}.weight']) for i in (0, 3, 4, 6) if _is_linear(weights, i)]
    if not widths or not _is_linear(weights, 0):
        return None
    hidden, out = widths[0], widths[-1]
    tokens = weights['layers.0.weight'].shape[1]
    if 'last_layer.weight' in weights:
        return PrototypeHead(
            tokens,
            len(weights['last_layer.weight']),
            hidden,
            out,
            separate_patches='patch_last_layer.weight' in weights,
            train_length='last_layer.length' in weights,
        )
    if 'layers.1.running_mean' in weights:
        last_norm = 'layers.7.running_mean' in weights
        if len(activations) != 2 or any(each not in ('GELU', 'ReLU') for each in activations):
            return None  # of a head that somebody else has written
        acts = [dict(type=each) for each in activations]
        return ProjectionMLP(tokens, hidden, out, act_cfg=acts, last_norm=last_norm)
    return None


def _is_linear(weights: Mapping[str, Tensor], place: int) -> bool:
    weight = weights.get(f'layers.{place}.weight')
    return weight is not None and weight.ndim == 2
