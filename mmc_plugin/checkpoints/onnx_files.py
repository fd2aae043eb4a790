"""Reads the weights of ONNX models, under the names that they had before the export."""

from __future__ import annotations

import math
import mmap
import os.path as osp
import re
import warnings
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..errors import InputError, needing
from .checkpoint import Checkpoint, check_number
from .torch_files import DOWNLOAD_AGAIN

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto, TensorProto

_WITH_BOTH = ('BatchNormalization', 'Conv', 'Gemm', 'LayerNormalization')
_SCOPES = 'pkg.torch.onnx.name_scopes'  # written by the exporter that goes through torch.export
_MADE_UP = re.compile(r'onnx::.+|val_\d+|/.+|.+_output_\d+')
# Of protocol buffers: the size in bytes of kinds that have one, and the kind with a length.
_FIXED, _COUNTED = {1: 8, 5: 4}, 2
_MOST_FIELDS = 1_000_000
_GRAPH, _INITIALIZER, _RAW_DATA = 7, 5, 9  # fields of a model, of its graph and of a tensor
_MAPPED = {1: torch.float32, 10: torch.half, 11: torch.double, 16: torch.bfloat16}
_TOKEN, _POSITIONS = 'embeddings.cls_token', 'embeddings.position_embeddings'


def read_onnx(path: str) -> Checkpoint:
    """Read the weights in an ONNX file and in the files beside it; see :func:`name_weights`.

    Raises:
        FileNotFoundError: If a file with weights is missing beside it.
        ImportError: If onnx is not installed.
        ValueError: If it is damaged, or weights lie outside its folder.
    """
    model, parts = _load(path)
    check_number(path, len(parts))
    beside = _beside(path, parts)
    try:
        tensors = {proto.name: _tensor(proto, raw, path) for proto, raw in parts}
        content = name_weights(tensors, model.graph.node)
        metadata = {each.key: each.value for each in model.metadata_props}
    except Exception as error:  # of many kinds, some of them onnx's own
        raise _damaged(path, error) from None
    if not tensors:
        raise InputError(f'{path} is no ONNX model with weights')
    return Checkpoint(path, 'onnx', content, metadata or None, (path, *beside))


def external_files(path: str) -> tuple[str, ...]:
    """Paths of the files with weights that an ONNX file needs; see :func:`read_onnx`."""
    return _beside(path, _load(path)[1])


def _load(path: str) -> tuple[ModelProto, list[tuple[TensorProto, memoryview]]]:
    """The model without its weights, and these, each with its bytes, mapped from the file.

    onnx alone would copy all bytes twice: when it parses them and when it gives them to Python.
    """
    with needing(f'{path} is an ONNX file: pip install onnx to read it'):
        import onnx
        from google.protobuf.message import DecodeError
    with open(path, 'rb') as file:  # private: what torch writes to a tensor stays in memory
        data = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY))
    try:
        rest, graphs = _split_off(_GRAPH, data)
        model, parts = onnx.ModelProto.FromString(rest), []
        for graph in graphs:
            rest, initializers = _split_off(_INITIALIZER, graph)
            model.graph.MergeFromString(rest)
            for each in initializers:
                rest, raw = _split_off(_RAW_DATA, each)
                parts.append((onnx.TensorProto.FromString(rest), raw[-1] if raw else each[:0]))
        return model, parts
    except (DecodeError, ValueError, RecursionError, MemoryError) as error:
        raise _damaged(path, error) from None


def _split_off(field: int, message: memoryview) -> tuple[bytes, list[memoryview]]:
    """A message of protocol buffers without one of its fields, and the values of that field."""
    kept, found, position = [], [], 0
    while position < len(message):
        start = position
        tag, position = _varint(message, start)
        length = _FIXED.get(tag & 7)
        if length is None:  # a number, or the length of what follows
            length, position = _varint(message, position)
            length *= tag & 7 == _COUNTED
        position += length
        if position > len(message) or len(kept) + len(found) > _MOST_FIELDS:
            raise ValueError(f'a field of it claims {length:,} bytes')
        if tag == field << 3 | _COUNTED:
            found.append(message[position - length : position])
        else:
            kept.append(message[start:position])
    return b''.join(kept), found


def _varint(message: memoryview, position: int) -> tuple[int, int]:
    """A number of variable length, and the position behind it."""
    value = 0
    for shift, byte in enumerate(message[position : position + 10]):
        value |= (byte & 127) << 7 * shift
        if byte < 128:
            return value, position + shift + 1
    raise ValueError('it ends within a number')


def _beside(path: str, parts: list[tuple[TensorProto, memoryview]]) -> tuple[str, ...]:
    """Checks here what onnx checks too: its older versions do not."""
    folder = osp.realpath(osp.dirname(path))
    entries = (entry for proto, _ in parts for entry in proto.external_data)
    files = set()
    for location in {entry.value for entry in entries if entry.key == 'location'}:
        try:
            file = osp.realpath(osp.join(folder, location))
        except (TypeError, ValueError):  # bytes that are no name
            file = ''
        inside = file.startswith(osp.join(folder, '')) and not osp.isabs(location)
        if not inside or '\0' in str(location):
            raise InputError(
                f'{path} is refused: it names weights outside its folder, in {location!r}'
            )
        if not osp.isfile(file):
            raise FileNotFoundError(f'{path} needs {location} beside it, which does not exist')
        files.add(file)
    return tuple(sorted(files))


def _tensor(proto: TensorProto, raw: memoryview, path: str) -> Tensor:
    from onnx import numpy_helper

    dtype, shape = _MAPPED.get(proto.data_type), tuple(proto.dims)
    if dtype and raw and min(shape, default=0) >= 0:
        if len(raw) == math.prod(shape) * dtype.itemsize:
            whole = torch.frombuffer(raw, dtype=torch.uint8)
            # torch takes tensors to be aligned.
            whole = whole.clone() if whole.data_ptr() % dtype.itemsize else whole
            return whole.view(dtype).view(shape)
    if raw:
        proto.raw_data = bytes(raw)
    array = numpy_helper.to_array(proto, osp.dirname(path))
    if array.shape != shape:
        raise ValueError(f'{proto.name} claims the shape {shape}')
    brain = array.dtype.name == 'bfloat16'  # of a package that torch does not know
    with warnings.catch_warnings():  # the bytes are read-only, and nobody else has them
        warnings.simplefilter('ignore')
        tensor = torch.from_numpy(array.view('int16') if brain else array)
    return tensor.view(torch.bfloat16) if brain else tensor


def _damaged(path: str, error: Exception) -> ValueError:
    reason = str(error).strip().partition('\n')[0]
    return InputError(f'{path} is cut short, damaged or no ONNX model ({reason}): {DOWNLOAD_AGAIN}')


def name_weights(tensors: dict[str, Tensor], nodes: Sequence[NodeProto]) -> dict[str, Tensor]:
    """Undo what exporters do to the parameters of layers, as far as the graph tells it.

    They transpose and number the matrices of linear layers, write equal parameters once, and cut
    the positions of Hugging Face models in two. What is found for a layer is added as
    ``<layer>.weight``, of shape (out, in), and ``<layer>.bias``. Other initialisers stay as they
    are, but for those whose names an exporter made up, which are left out.

    Args:
        tensors (dict[str, Tensor]): Initialisers by name.
        nodes (Sequence[NodeProto]): Operators of the graph, in any order.
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
            named |= {f'{module}.bias': tensors[name] for name in node.input if name in tensors}
        elif node.op_type in _WITH_BOTH and module:
            for name, kind in zip(node.input[1:], ('weight', 'bias')):
                # The exporters leave these as they are, but for those that equal another.
                if name in tensors and name.endswith(f'.{kind}'):
                    named[f'{module}.{kind}'] = tensors[name]
    made_up = {name for name in tensors if _MADE_UP.fullmatch(name)}
    named |= {name: tensors[name] for name in tensors if name not in made_up | matrices}
    _join_positions(named, [tensors[name] for name in made_up])
    return named


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
        if node.op_type == 'MatMul' and matrix is not None and matrix.dim() == 2:
            layer = added.get(node.output[0])
            if layer is None or shared[layer] > 1:
                layer = module_of(node) or layer
            if layer is not None:
                found[node.output[0]] = layer
    return found


def _join_positions(named: dict[str, Tensor], constants: list[Tensor]) -> None:
    """Their code resizes the positions of the patches: the slices before that are two constants."""
    for name in [name for name in named if name.endswith(_TOKEN)]:
        like, target = named[name].shape[::2], name.removesuffix(_TOKEN) + _POSITIONS
        parts = [each for each in constants if each.ndim == 3 and each.shape[::2] == like]
        parts.sort(key=lambda part: part.shape[1])
        if target not in named and len(parts) == 2 and parts[0].shape[1] == 1:
            named[target] = torch.cat(parts, dim=1)
