"""Reads the weights of ONNX models."""

from __future__ import annotations

import os.path as osp
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from .checkpoint import Checkpoint
from .onnx_names import name_weights
from .torch_files import DOWNLOAD_AGAIN

if TYPE_CHECKING:
    from onnx import ModelProto, TensorProto


def read_onnx(path: str) -> Checkpoint:
    """Read the initialisers of an ONNX file and of the files beside it.

    Parameters get the names and shapes back that they had before the export, as far as the graph
    tells them; see :func:`~mmc_plugin.checkpoints.onnx_names.name_weights`.

    Args:
        path (str): A file that ``torch.onnx.export`` or another exporter wrote.

    Returns:
        Checkpoint: The content is name → tensor; the config is the model's metadata, if any.

    Raises:
        FileNotFoundError: If a file with weights is missing beside it.
        ImportError: If onnx is not installed.
        ValueError: If it is damaged, or weights lie outside its folder.
    """
    model = _load(path)
    beside = _beside(path, model)
    try:
        tensors = {each.name: _tensor(each, path) for each in model.graph.initializer}
        content = name_weights(tensors, model.graph.node)
        metadata = {each.key: each.value for each in model.metadata_props}
    except Exception as error:  # of many kinds, some of them onnx's own
        raise _damaged(path, error) from None
    if not tensors:
        raise ValueError(f'{path} is no ONNX model with weights')
    return Checkpoint(path, 'onnx', content, metadata or None, (path, *beside))


def external_files(path: str) -> tuple[str, ...]:
    """Paths of the files with weights that an ONNX file needs; see :func:`read_onnx`."""
    return _beside(path, _load(path))


def _load(path: str) -> ModelProto:
    try:
        import onnx
        from google.protobuf.message import DecodeError
    except ImportError:
        raise ImportError(f'{path} is an ONNX file: pip install onnx to read it') from None
    try:
        return onnx.load(path, load_external_data=False)
    except DecodeError as error:
        raise _damaged(path, error) from None


def _beside(path: str, model: ModelProto) -> tuple[str, ...]:
    """Checks here what onnx checks too: its older versions do not."""
    folder = osp.realpath(osp.dirname(path))
    entries = (entry for each in model.graph.initializer for entry in each.external_data)
    files = set()
    for location in {entry.value for entry in entries if entry.key == 'location'}:
        try:
            file = osp.realpath(osp.join(folder, location))
        except (TypeError, ValueError):  # bytes that are no name
            file = ''
        if osp.isabs(location) or not file.startswith(osp.join(folder, '')):
            raise ValueError(
                f'{path} is refused: it names weights outside its folder, in {location!r}'
            )
        if not osp.isfile(file):
            raise FileNotFoundError(f'{path} needs {location} beside it, which does not exist')
        files.add(file)
    return tuple(sorted(files))


def _tensor(proto: TensorProto, path: str) -> Tensor:
    from onnx import numpy_helper

    array = numpy_helper.to_array(proto, osp.dirname(path))
    if array.shape != tuple(proto.dims):
        raise ValueError(f'{proto.name} claims the shape {tuple(proto.dims)}')
    if array.dtype.name == 'bfloat16':  # of a package that torch does not know
        return torch.tensor(array.view('int16')).view(torch.bfloat16)
    return torch.tensor(array)


def _damaged(path: str, error: Exception) -> ValueError:
    reason = str(error).strip().partition('\n')[0]
    return ValueError(f'{path} is cut short, damaged or no ONNX model ({reason}): {DOWNLOAD_AGAIN}')
