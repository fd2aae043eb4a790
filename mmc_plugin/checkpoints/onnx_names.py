"""Gives the weights of an ONNX graph the names of the parameters that they were exported from."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from torch import Tensor

_WITH_BOTH = ('BatchNormalization', 'Conv', 'Gemm', 'LayerNormalization')


@dataclass
class Node:
    """An operator of an ONNX graph.

    Args:
        op (str): Its type.
        name (str): Its name; the exporter that goes through TorchScript writes the module into it.
        scopes (str): Modules around it, as the exporter that goes through ``torch.export`` notes.
        inputs (list[str]): Names of the values that it takes.
        outputs (list[str]): Names of those that it makes.
    """

    op: str = ''
    name: str = ''
    scopes: str = ''
    inputs: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)

    def module(self) -> str | None:
        """Path of the module that it belongs to, if it says so."""
        if self.scopes:  # "['', 'blocks.0', 'blocks.0.fc1', 'linear']"
            scopes = re.findall(r"'([^']*)'", self.scopes)
            return (scopes[-2] or None) if len(scopes) > 1 else None
        if not self.name.startswith('/'):
            return None
        kept: list[str] = []
        for part in self.name[1:].split('/')[:-1]:  # /blocks/blocks.0/fc1/MatMul
            if kept and part.startswith(kept[-1] + '.'):
                kept.pop()
            kept.append(part)
        return '.'.join(kept) or None


def name_weights(tensors: dict[str, Tensor], nodes: Sequence[Node]) -> dict[str, Tensor]:
    """Undo what exporters do to the parameters of layers.

    They transpose and number the matrices of linear layers, and write equal parameters once. What
    is found for a layer is added as ``<layer>.weight``, of shape (out, in), and ``<layer>.bias``;
    numbered matrices leave the result under their old names. Nothing is copied.

    Args:
        tensors (dict[str, Tensor]): Initialisers by name.
        nodes (Sequence[Node]): Operators of the graph, in any order.

    Returns:
        dict[str, Tensor]: Parameters by name, with all other initialisers as they were.
    """
    tensors = dict(tensors)
    for node in nodes:
        if node.op == 'Identity' and node.inputs[0] in tensors:
            tensors[node.outputs[0]] = tensors[node.inputs[0]]
    named: dict[str, Tensor] = {}
    matrices: set[str] = set()
    linear = _linear_layers(tensors, nodes)
    for node in nodes:
        module = node.module()
        if node.op == 'MatMul' and node.outputs[0] in linear:
            matrices.add(node.inputs[1])
            named[f'{linear[node.outputs[0]]}.weight'] = tensors[node.inputs[1]].t()
        elif node.op == 'Add' and module in linear.values():
            for name in node.inputs:
                if name in tensors:
                    named[f'{module}.bias'] = tensors[name]
        elif node.op in _WITH_BOTH and module:
            for name, kind in zip(node.inputs[1:], ('weight', 'bias')):
                # The exporters leave these as they are, but for those that equal another.
                if name in tensors and name.endswith(f'.{kind}'):
                    named[f'{module}.{kind}'] = tensors[name]
    kept = {name: tensor for name, tensor in tensors.items() if name not in matrices}
    return {**named, **kept}


def _linear_layers(tensors: dict[str, Tensor], nodes: Sequence[Node]) -> dict[str, str]:
    """Output of each product with a matrix → path of its layer, where that is known."""
    added = {}
    for node in nodes:
        if node.op == 'Add' and len(node.inputs) == 2:
            for one, other in (node.inputs, node.inputs[::-1]):
                if other.endswith('.bias') and other in tensors:
                    added[one] = other.removesuffix('.bias')
    shared = Counter(added.values())
    found = {}
    for node in nodes:
        matrix = tensors.get(node.inputs[1]) if len(node.inputs) == 2 else None
        if node.op != 'MatMul' or matrix is None or matrix.dim() != 2:
            continue
        layer = added.get(node.outputs[0])
        if layer is None or shared[layer] > 1:
            layer = node.module() or layer
        if layer is not None:
            found[node.outputs[0]] = layer
    return found
