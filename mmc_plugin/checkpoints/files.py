"""Reads checkpoints of many kinds, without running code from them."""

from __future__ import annotations

import os
import os.path as osp

from ..errors import InputError, UserError, needing
from .checkpoint import Checkpoint, check_number, check_regular, hash_files
from .folders import fetch, model_files, read_config, read_timm
from .onnx_files import external_files, read_onnx
from .torch_files import DOWNLOAD_AGAIN, read_torch

_WEB_PAGE = (b'<!doctype', b'<html', b'<?xml', b'<head', b'<body')
_UNKNOWN = 'is no checkpoint of a known kind (PyTorch, safetensors, ONNX, Hugging Face)'
_HDF5, _ZIP, _PICKLE = b'\x89HDF\r\n', b'PK\x03\x04', b'\x80'
_ARCHIVES = (b'\x1f\x8b', b'BZh', b'\xfd7zXZ')  # gzip, bzip2, xz


def read_checkpoint(source: str, allow_pickle: bool = False) -> Checkpoint:
    """Read a checkpoint of any kind that this package knows; the content says which it is.

    Code in the file is not run: classes and functions that a pickle names are refused, but for
    those that only hold logs and settings of a run. Sizes are compared with what is there before
    memory is taken.

    Args:
        source (str): A file of ``torch.save`` (a run of mmengine, an official release), a
            safetensors or ONNX file, a folder of Hugging Face, ``timm:<name>`` or ``hf:<name>``.
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
        return _read_folder(source, fetch(source), allow_pickle=False)
    if osp.isdir(source):
        return _read_folder(source, source, allow_pickle)
    return _read_file(source, allow_pickle)


def refuse_code(path: str) -> None:
    """Refuse a file of ``torch.save`` that would run code if torch read it without limits.

    mmengine falls back to such a reading where the safe one fails, which it does for its own
    checkpoints, because they name functions. What this passes has been followed by torch's own
    safe reader, with nothing but weights, logs and settings in it. For errors see
    :func:`read_checkpoint`.
    """
    kind = _read_file(path, allow_pickle=False).kind
    if kind != 'torch':
        raise InputError(f'{path} is a {kind} file, where one of torch.save is needed')


def file_hash(source: str | os.PathLike) -> str:
    """SHA-256 of the bytes of a checkpoint: ``sha256`` of what :func:`read_checkpoint` returns.

    That of its file; of the files of a folder that hold the model, in the order of their names (of
    one alone, if there is one); of an ONNX file and the weights beside it. ``timm:<name>`` has no
    file: its tensors are hashed. This is what model cards and reports call the hash of a
    checkpoint, 64 hexadecimal digits; a file that is not read has it, too.

    Raises:
        FileNotFoundError: If there is none, or no weights in the folder.
        ConnectionError: See :func:`read_checkpoint`.
    """
    source = os.fspath(source)
    if source.startswith('timm:'):
        return read_timm(source).sha256
    path = fetch(source) if source.startswith('hf:') else source
    if osp.isdir(path):
        return hash_files(model_files(path)[0])
    return hash_files([path, *(external_files(path) if _kind(path) == 'onnx' else ())])


def _read_folder(source: str, path: str, allow_pickle: bool) -> Checkpoint:
    kind, config = read_config(path)
    files, promised = model_files(path)
    content = {}
    for file in files:
        content.update(_read_file(file, allow_pickle).content)
    for missing in sorted(promised - set(content)):
        raise InputError(f'{source} is not whole: {missing} is in none of its weight files')
    return Checkpoint(source, kind, content, config, files)


def _read_file(path: str, allow_pickle: bool) -> Checkpoint:
    kind = _kind(path)
    if kind == 'safetensors':
        return _read_safetensors(path)
    if kind == 'onnx':
        return read_onnx(path)
    if kind not in ('zip', 'pickle'):
        raise InputError(f'{path} {kind}')
    content = read_torch(path, kind == 'pickle', allow_pickle)
    meta = content.get('meta')
    return Checkpoint(path, 'torch', content, meta if isinstance(meta, dict) else None, (path,))


def _read_safetensors(path: str) -> Checkpoint:
    """Read a safetensors file; its tensors are mapped from the disk."""
    with needing(f'{path} is a safetensors file: pip install safetensors'):
        from safetensors import SafetensorError, safe_open
    try:
        with safe_open(path, framework='pt', device='cpu') as file:
            check_number(path, len(file.keys()))
            content = {name: file.get_tensor(name) for name in file.keys()}
            return Checkpoint(path, 'safetensors', content, file.metadata(), (path,))
    except UserError:
        raise
    except (SafetensorError, OSError, ValueError, TypeError, RuntimeError) as error:
        # Its reader compares every size with the file before anything else.
        raise InputError(f'{path} is cut short or damaged ({error}): {DOWNLOAD_AGAIN}') from None


def _kind(path: str) -> str:
    """How to read a file, or the rest of a sentence if it is no checkpoint.

    The first bytes tell; the name only helps to tell ONNX.
    """
    if check_regular(path) == 0:  # some files of /proc, too, which wait or fail when they are read
        return _what_it_is(b'')
    try:
        with open(path, 'rb') as file:
            head = file.read(512)
    except PermissionError:
        raise
    except OSError as error:
        return f'cannot be read ({error.strerror})'
    if head.startswith(_ZIP):
        return 'zip'
    if head[8:9] == b'{':  # after a number of which the first byte may be any
        return 'safetensors'
    if head.startswith(_PICKLE) and head[1:2] <= b'\x05':  # the newest protocol
        return 'pickle'
    reason = _what_it_is(head)
    named = path.lower().endswith('.onnx') and reason == _UNKNOWN
    return 'onnx' if head.startswith(b'\x08') or named else reason


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
    if head.startswith(_ARCHIVES) or head[257:262] == b'ustar':
        return 'is an archive, not a checkpoint: unpack it and give what is in it'
    if b'\0' not in head and head.isascii():
        return 'is a text file, not a checkpoint'
    return _UNKNOWN
