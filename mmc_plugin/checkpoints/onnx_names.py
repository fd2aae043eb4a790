"""Gives the weights of an ONNX graph the names of the parameters that they were exported from."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from torch import Tensor

if TYPE_CHECKING:
    from onnx import NodeProto

_WITH_BOTH = ('BatchNormalization', 'Conv', 'Gemm', 'LayerNormalization')
_SCOPES = 'pkg.torch.onnx.name_scopes'  # written by the exporter that goes through torch.export


def name_weights(tensors: dict[str, Tensor], nodes: Sequence[NodeProto]) -> dict[str, Tensor]:
    """Undo what exporters do to the parameters of layers.

    They transpose and number the matrices of linear layers, and write equal parameters once. What
    is found for a layer is added as ``<layer>.weight``, of shape (out, in), and ``<layer>.bias``;
    numbered matrices leave the result under their old names. Nothing is copied.

    Args:
        tensors (dict[str, Tensor]): Initialisers by name.
        nodes (Sequence[NodeProto]): Operators of the graph, in any order.

    Returns:
        dict[str, Tensor]: Parameters by name, with all other initialisers as they were.
    """
    tensors = dict(tensors)
    for node in nodes:
        if node.op_type == 'Identity' and node.input[0] in tensors:
            tensors[node.output[0]] = tensors[node.input[0]]
    named: dict[str, Tensor] = {}
    matrices: set[str] = set()
    linear = _linear_layers(tensors, nodes)
    for node in nodes:
        module = module_of(node)
        if node.op_type == 'MatMul' and node.output[0] in linear:
            matrices.add(node.input[1])
            named[f'{linear[node.output[0]]}.weight'] = tensors[node.input[1]].t()
        elif node.op_type == 'Add' and module in linear.values():
            for name in node.input:
                if name in tensors:
                    named[f'{module}.bias'] = tensors[name]
        elif node.op_type in _WITH_BOTH and module:
            for name, kind in zip(node.input[1:], ('weight', 'bias')):
                # The exporters leave these as they are, but for those that equal another.
                if name in tensors and name.endswith(f'.{kind}'):
                    named[f'{module}.{kind}'] = tensors[name]
    kept = {name: tensor for name, tensor in tensors.items() if name not in matrices}
    return {**named, **kept}


def module_of(node: NodeProto) -> str | None:
    """Path of the module that an operator belongs to, if it says so."""
    for entry in node.metadata_props:
        if entry.key == _SCOPES and entry.value:  # "['', 'blocks.0', 'blocks.0.fc1', 'linear']"
            scopes = re.findall(r"'([^']*)'", entry.value)
            return (scopes[-2] or None) if len(scopes) > 1 else None
    if not node.name.startswith('/'):  # as the exporter that goes through TorchScript writes it
        return None
    kept: list[str] = []
    for part in node.name[1:].split('/')[:-1]:  # /blocks/blocks.0/fc1/MatMul
        if kept and part.startswith(kept[-1] + '.'):
            kept.pop()
        kept.append(part)
    return '.'.join(kept) or None


def _linear_layers(tensors: dict[str, Tensor], nodes: Sequence[NodeProto]) -> dict[str, str]:
    """Output of each product with a matrix → path of its layer, where that is known."""
    added = {}
    for node in nodes:
        if node.op_type == 'Add' and len(node.input) == 2:
            for one, other in (node.input, node.input[::-1]):
                if other.endswith('.bias') and other in tensors:
                    added[one] = other.removesuffix('.bias')
    shared = Counter(added.values())
    found = {}
    for node in nodes:
        matrix = tensors.get(node.input[1]) if len(node.input) == 2 else None
        if node.op_type != 'MatMul' or matrix is None or matrix.dim() != 2:
            continue
        layer = added.get(node.output[0])
        if layer is None or shared[layer] > 1:
            layer = module_of(node) or layer
        if layer is not None:
            found[node.output[0]] = layer
    return found
