"""Reads checkpoints of many kinds, without running code from them."""

from __future__ import annotations

import os
import os.path as osp
import zipfile
from typing import Any

from torch import nn

from .archives import read_archive
from .checkpoint import Checkpoint, hash_files
from .huggingface import WEIGHT_FILES, read_directory, read_hub
from .onnx_files import read_onnx
from .safetensors_files import read_safetensors
from .timm_models import read_timm
from .torch_files import DOWNLOAD_AGAIN, is_torch_zip, read_torch_legacy, read_torch_zip

_WEB_PAGE = (b'<!doctype', b'<html', b'<?xml', b'<head', b'<body')
_UNKNOWN = 'is no checkpoint of a known kind (PyTorch, safetensors, ONNX, Hugging Face)'
_HDF5, _GZIP, _ZIP, _PICKLE = b'\x89HDF\r\n', b'\x1f\x8b', b'PK\x03\x04', b'\x80'


def read_checkpoint(source: str, allow_pickle: bool = False) -> Checkpoint:
    """Read a checkpoint of any kind that this package knows; the content says which it is.

    Code in the file is not run: classes and functions that a pickle names are refused, but for
    those that only hold logs and settings of a run. Sizes are compared with what is there before
    memory is taken.

    Args:
        source (str): A file of ``torch.save`` (a run of mmengine, an official release), a
            safetensors or ONNX file, a folder of Hugging Face, a .tar, .tar.gz, .tgz or .zip with
            one of these, ``timm:<name>`` or ``hf:<name>``.
        allow_pickle (bool): Run the code that a pickle holds. Only for files that you trust.

    Returns:
        Checkpoint: See there.

    Raises:
        FileNotFoundError: If there is no such file, or a part of it is missing.
        ConnectionError: If ``timm:`` or ``hf:`` weights are not at hand and cannot be fetched.
        ImportError: If the package that a kind needs is not installed.
        ValueError: If it cannot be read; one sentence says what it is instead.
    """
    source = os.fspath(source)
    if source.startswith('timm:'):
        return read_timm(source)
    if source.startswith('hf:'):
        return read_hub(source, _read_file)
    if osp.isdir(source):
        return read_directory(source, allow_pickle, _read_file)
    if not osp.isfile(source):
        raise FileNotFoundError(f'the checkpoint {source} does not exist')
    return _read_file(source, allow_pickle, archives=True)


def _read_file(path: str, allow_pickle: bool, archives: bool = False) -> Checkpoint:
    """Read one file; ``archives`` says whether it may be an archive with the checkpoint in it."""
    with open(path, 'rb') as file:
        head = file.read(512)
    kind = _kind(path, head)
    if kind == 'archive' and archives:
        return read_archive(path, allow_pickle, _read_file)
    if kind == 'safetensors':
        return read_safetensors(path)
    if kind == 'onnx':
        return read_onnx(path)
    if kind == 'zip':
        content = read_torch_zip(path, allow_pickle)
    elif kind == 'pickle':
        content = read_torch_legacy(path, allow_pickle)
    else:
        raise ValueError(f'{path} {_what_it_is(head)}')
    if isinstance(content, nn.Module):  # only ever with allow_pickle
        content = content.state_dict()
    if not isinstance(content, dict):
        raise ValueError(f'{path} holds a {type(content).__name__}, not the weights of a model')
    meta = content.get('meta')
    return Checkpoint(path, 'torch', content, meta if isinstance(meta, dict) else None, (path,))


def _kind(path: str, head: bytes) -> str | None:
    """How to read a file, by how it begins; the name only helps to tell ONNX."""
    if head.startswith(_ZIP):
        try:
            with zipfile.ZipFile(path) as archive:
                return 'zip' if is_torch_zip(archive.namelist()) else 'archive'
        except zipfile.BadZipFile:
            raise ValueError(f'{path} is cut short: {DOWNLOAD_AGAIN}') from None
    if head[8:9] == b'{':  # after a number of which the first byte may be any
        return 'safetensors'
    if head.startswith(_PICKLE) and head[1:2] <= b'\x05':  # the newest protocol
        return 'pickle'
    if head.startswith(_GZIP) or head[257:262] == b'ustar':
        return 'archive'
    named = path.lower().endswith('.onnx') and _what_it_is(head) == _UNKNOWN
    return 'onnx' if head.startswith(b'\x08') or named else None


def _what_it_is(head: bytes) -> str:
    """The rest of a sentence on a file that is no checkpoint."""
    if not head:
        return f'is empty: {DOWNLOAD_AGAIN}'
    text = head.removeprefix(b'\xef\xbb\xbf').lstrip().lower()
    if text.startswith(_WEB_PAGE):
        return (
            'is a web page, not a checkpoint: the download went to a page about the file or to an '
            'error; fetch the file itself'
        )
    if text.startswith(b'version https://git-lfs'):
        return (
            'is only the pointer that git keeps in place of a large file: run git lfs pull, or '
            'download the file itself'
        )
    if head.startswith(_HDF5):
        return 'holds weights of TensorFlow or Keras, which are not read: take those for PyTorch'
    if head.startswith((_ZIP, _GZIP, b'BZh', b'\xfd7zXZ')) or head[257:262] == b'ustar':
        return 'is an archive of a kind that is not looked into: unpack it and give what is in it'
    if b'\0' not in head and head.isascii():
        return 'is a text file, not a checkpoint'
    return _UNKNOWN


def refuse_code(path: str) -> None:
    """Refuse a file of ``torch.save`` that would run code if torch read it without limits.

    mmengine falls back to such a reading where the safe one fails, which it does for its own
    checkpoints, because they name functions. What this passes has been followed by torch's own
    safe reader, with nothing but weights, logs and settings in it.

    Args:
        path (str): A file that is to be handed to mmengine.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: With one sentence, if it is refused.
    """
    if not osp.isfile(path):
        raise FileNotFoundError(f'the checkpoint {path} does not exist')
    kind = _read_file(path, allow_pickle=False).kind
    if kind != 'torch':
        raise ValueError(f'{path} is a {kind} file, where one of torch.save is needed')


def file_hash(path: str) -> str:
    """SHA-256 of a file, or of the weight files in a folder, in the order of their names.

    A folder with one weight file has the hash of that file.

    Args:
        path (str): A file or folder.

    Returns:
        str: 64 hexadecimal digits.

    Raises:
        FileNotFoundError: If there is none, or no weights in the folder.
    """
    path = os.fspath(path)
    if not osp.isdir(path):
        if not osp.isfile(path):
            raise FileNotFoundError(f'the checkpoint {path} does not exist')
        return hash_files([path])
    names = sorted(name for name in os.listdir(path) if name.endswith(WEIGHT_FILES))
    if not names:
        raise FileNotFoundError(f'the folder {path} holds no weights')
    return hash_files([osp.join(path, name) for name in names])


def holds_only_optimizer(content: dict[str, Any]) -> bool:
    """Whether a file is what was saved of an optimiser, without the weights of a model.

    Args:
        content (dict): Of a :class:`Checkpoint`.
    """
    if set(content) == {'state', 'param_groups'}:
        return True
    kept = ('optimizer', 'optim', 'opt', 'scaler', 'lr_scheduler', 'param_schedulers')
    nested = {key for key, value in content.items() if isinstance(value, dict) and value}
    tensors = any(hasattr(value, 'shape') for value in content.values())
    return not tensors and bool(nested & set(kept)) and nested <= {*kept, 'meta', 'message_hub'}
