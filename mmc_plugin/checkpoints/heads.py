"""Reads the heads of a self-supervised method out of a checkpoint, where they fit."""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

from .architecture import misfits
from .checkpoint import Checkpoint
from .networks import find_network, find_part

# Names in the heads of the DINO, iBOT and MC-SSL releases → ours. The prototypes are stored there
# as a direction (v) and a length (g), by either of torch's two weight norms.
_RELEASED = (
    (re.compile(r'^mlp\.'), 'layers.'),
    (re.compile(r'^last_layer2\.'), 'patch_last_layer.'),
    (re.compile(r'(last_layer)\.(weight_v|parametrizations\.weight\.original1)$'), r'\1.weight'),
    (re.compile(r'(last_layer)\.(weight_g|parametrizations\.weight\.original0)$'), r'\1.length'),
)


def read_head(
    checkpoint: Checkpoint, name: str, shapes: Mapping[str, tuple[int, ...]]
) -> tuple[dict[str, Tensor], list[str]]:
    """The weights of a head, if the checkpoint has one of this name that fits.

    The teacher's, or the student's of a head that the teacher has not. Prototype heads of the DINO,
    iBOT and MC-SSL releases are renamed.

    Args:
        checkpoint (Checkpoint): With a backbone that
            :func:`~mmc_plugin.checkpoints.read_backbone` reads.
        name (str): Such as ``'cls_head'``; ``'head'`` in the releases.
        shapes (Mapping[str, tuple[int, ...]]): Names and shapes of what the head needs.

    Returns:
        tuple[dict[str, Tensor], list[str]]: Weights by our names, and in words what does not fit;
        both empty if there is no such head, the first if it does not fit.
    """
    weights = find_head(checkpoint, name)
    for key in [key for key in weights if key not in shapes]:
        # Lengths that are not learned are 1; prototypes that patches share are there twice.
        twin = weights.get(key.removeprefix('patch_'))
        unit = key.endswith('.length') and bool((weights[key] == 1).all())
        if unit or (key.startswith('patch_') and twin is not None and weights[key].equal(twin)):
            del weights[key]
    wrong = misfits(weights, shapes) if weights else []
    return ({} if wrong else weights), wrong


def find_head(checkpoint: Checkpoint, name: str, which: str = 'teacher') -> dict[str, Tensor]:
    """All weights of a head, by our names; empty if there is none. See :func:`read_head`."""
    found = find_part(checkpoint.content, find_network(checkpoint.content, which), name)
    return {_renamed(key): value.detach() for key, value in found.items()}


def _renamed(name: str) -> str:
    for pattern, ours in _RELEASED:
        name = pattern.sub(ours, name)
    return name
