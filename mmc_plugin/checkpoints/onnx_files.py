"""Reads the weights of ONNX models, mapped from the disk."""

from __future__ import annotations

import math
import os.path as osp
from collections.abc import Iterator

import torch
from torch import Tensor

from .checkpoint import Checkpoint
from .onnx_names import Node, name_weights
from .torch_files import DOWNLOAD_AGAIN

# TensorProto.DataType of onnx.proto
_DTYPES = {
    1: torch.float32, 2: torch.uint8, 3: torch.int8, 5: torch.int16, 6: torch.int32,
    7: torch.int64, 9: torch.bool, 10: torch.float16, 11: torch.float64, 16: torch.bfloat16,
}  # fmt: skip
# How a field of a protocol buffer is written.
_VARINT, _EIGHT_BYTES, _COUNTED, _FOUR_BYTES = 0, 1, 2, 5
# Fields of onnx.proto
_MODEL_GRAPH, _MODEL_METADATA = 7, 14
_GRAPH_NODE, _GRAPH_INITIALIZER = 1, 5
_NODE_INPUT, _NODE_OUTPUT, _NODE_NAME, _NODE_OP, _NODE_METADATA = 1, 2, 3, 4, 9
_DIMS, _TYPE, _NAME, _EXTERNAL = 1, 2, 8, 13
_FLOATS, _INT32S, _INT64S, _RAW, _DOUBLES = 4, 5, 7, 9, 10

_Span = tuple[int, int]  # first byte and the one behind the last


class _DamagedError(ValueError):
    """The file is no ONNX; the text stands in brackets in a sentence."""


def read_onnx(path: str) -> Checkpoint:
    """Read the initialisers of an ONNX file and of the files beside it.

    The file is walked over here, without the package onnx, so that nothing is copied and every
    size is compared with the file before it is used.

    Parameters get the names and shapes back that they had before the export, as far as the graph
    tells them; see :func:`~mmc_plugin.checkpoints.onnx_names.name_weights`.

    Args:
        path (str): A file that ``torch.onnx.export`` or another exporter wrote.

    Returns:
        Checkpoint: The content is name → tensor; the config is the model's metadata, if any.

    Raises:
        FileNotFoundError: If a file with weights is missing beside it.
        ValueError: If it is damaged, or weights lie outside its folder.
    """
    file = _File(path)
    tensors: dict[str, Tensor] = {}
    nodes: list[Node] = []
    metadata: dict[str, str] = {}
    try:
        for number, value in file.fields((0, len(file.data))):
            if number == _MODEL_METADATA:
                metadata.update([file.pair(value)])
            if number != _MODEL_GRAPH:
                continue
            for kind, span in file.fields(value):
                if kind == _GRAPH_NODE:
                    nodes.append(file.node(span))
                elif kind == _GRAPH_INITIALIZER:
                    name, tensor = file.tensor(span)
                    tensors[name] = tensor
    except _DamagedError as error:
        raise ValueError(
            f'{path} is damaged or no ONNX model ({error}): {DOWNLOAD_AGAIN}'
        ) from None
    if not tensors:
        raise ValueError(f'{path} is no ONNX model with weights')
    content = name_weights(tensors, nodes)
    return Checkpoint(path, 'onnx', content, metadata or None, (path, *file.beside))


class _File:
    """An ONNX file, mapped from the disk."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.data = _map(path)
        self.beside: dict[str, memoryview] = {}

    def fields(self, span: object) -> Iterator[tuple[int, int | _Span]]:
        """Number and value of the fields of a message: an integer, or where its bytes lie."""
        if not isinstance(span, tuple):
            raise _DamagedError('a number where a message should be')
        position, end = span
        while position < end:
            tag, position = self.varint(position, end)
            number, kind = tag >> 3, tag & 7
            if kind == _VARINT:
                value, position = self.varint(position, end)
                yield number, value
                continue
            if kind == _COUNTED:
                length, position = self.varint(position, end)
            elif kind in (_EIGHT_BYTES, _FOUR_BYTES):
                length = 8 if kind == _EIGHT_BYTES else 4
            else:
                raise _DamagedError(f'a field of the unknown kind {kind}')
            if length > end - position:
                raise _DamagedError(f'{length:,} bytes claimed where {end - position:,} are')
            yield number, (position, position + length)
            position += length

    def varint(self, position: int, end: int) -> tuple[int, int]:
        """A number of variable length and the position behind it."""
        value = shift = 0
        while position < end and shift < 70:
            byte = self.data[position]
            value |= (byte & 127) << shift
            position, shift = position + 1, shift + 7
            if byte < 128:
                return value, position
        raise _DamagedError('it ends within a number')

    def text(self, span: object) -> str:
        if not isinstance(span, tuple):
            raise _DamagedError('a number where a text should be')
        return bytes(self.data[slice(*span)]).decode(errors='replace')

    def pair(self, span: object) -> tuple[str, str]:
        """Key and value, which are texts."""
        fields = dict(self.fields(span))
        return self.text(fields.get(1, (0, 0))), self.text(fields.get(2, (0, 0)))

    def node(self, span: object) -> Node:
        node = Node()
        for number, value in self.fields(span):
            if number == _NODE_INPUT:
                node.inputs.append(self.text(value))
            elif number == _NODE_OUTPUT:
                node.outputs.append(self.text(value))
            elif number == _NODE_NAME:
                node.name = self.text(value)
            elif number == _NODE_OP:
                node.op = self.text(value)
            elif number == _NODE_METADATA:
                key, text = self.pair(value)
                if key == 'pkg.torch.onnx.name_scopes':
                    node.scopes = text
        return node

    def tensor(self, span: object) -> tuple[str, Tensor]:
        """Name and value of an initialiser."""
        shape: list[int] = []
        name, code, external = '', 0, {}
        where: tuple[int, _Span] | None = None
        for number, value in self.fields(span):
            if number == _DIMS:
                shape += [value] if isinstance(value, int) else self.varints(value)
            elif number == _TYPE and isinstance(value, int):
                code = value
            elif number == _NAME:
                name = self.text(value)
            elif number == _EXTERNAL:
                external.update([self.pair(value)])
            elif number in (_RAW, _FLOATS, _DOUBLES, _INT32S, _INT64S) and isinstance(value, tuple):
                where = number, value
        dtype = _DTYPES.get(code)
        if dtype is None:
            raise _DamagedError(f'{name} is of the type {code}, which no weights are')
        if external:
            data, begin, end = self.locate(external)
        elif where is not None and where[0] in (_INT32S, _INT64S):
            return name, self.integers(name, dtype, shape, where[1])
        else:
            data, (begin, end) = self.data, where[1] if where else (0, 0)
        needed = math.prod(shape) * dtype.itemsize
        if max(shape, default=0) >= 1 << 63 or needed != end - begin:
            raise _DamagedError(f'{name} claims {needed:,} bytes where {end - begin:,} are')
        if not needed:
            return name, torch.empty(shape, dtype=dtype)
        if begin % dtype.itemsize:  # torch takes tensors to be aligned
            data, begin = bytearray(data[begin:end]), 0
        count = math.prod(shape)
        return name, torch.frombuffer(data, dtype=dtype, count=count, offset=begin).view(shape)

    def varints(self, span: _Span) -> list[int]:
        """Packed numbers, as the signed integers that they are."""
        numbers, (position, end) = [], span
        while position < end:
            value, position = self.varint(position, end)
            numbers.append(value - (1 << 64) if value >> 63 else value)
        return numbers

    def integers(self, name: str, dtype: torch.dtype, shape: list[int], span: _Span) -> Tensor:
        """A tensor that is written as a list of integers; 16-bit floats are, by their bits."""
        numbers = self.varints(span)
        if math.prod(shape) != len(numbers):
            raise _DamagedError(f'{name} has {len(numbers)} numbers for the shape {shape}')
        if dtype.is_floating_point:
            bits = torch.tensor(numbers, dtype=torch.int32).to(torch.int16)
            return bits.view(dtype).view(shape)
        return torch.tensor(numbers, dtype=dtype).view(shape)

    def locate(self, external: dict[str, str]) -> tuple[memoryview, int, int]:
        """Bytes of an initialiser in a file beside this one."""
        location = external.get('location', '')
        folder = osp.realpath(osp.dirname(self.path))
        path = osp.realpath(osp.join(folder, location))
        if not location or osp.isabs(location) or osp.commonpath((folder, path)) != folder:
            raise ValueError(
                f'{self.path} is refused: it names weights outside its folder, in {location!r}'
            )
        if not osp.isfile(path):
            raise FileNotFoundError(f'{self.path} needs {location} beside it, which does not exist')
        if path not in self.beside:
            self.beside[path] = _map(path)
        data = self.beside[path]
        try:
            begin = int(external.get('offset', '0'))
            length = int(external.get('length', len(data) - begin))
        except ValueError:
            raise _DamagedError('weights at no number of bytes') from None
        if begin < 0 or length < 0 or begin + length > len(data):
            raise ValueError(f'{path} is cut short: {DOWNLOAD_AGAIN}')
        return data, begin, begin + length


def _map(path: str) -> memoryview:
    size = osp.getsize(path)
    if not size:
        raise ValueError(f'{path} is empty: {DOWNLOAD_AGAIN}')
    storage = torch.UntypedStorage.from_file(path, False, size)  # writes do not reach the file
    return memoryview(torch.empty(0, dtype=torch.uint8).set_(storage).numpy())
