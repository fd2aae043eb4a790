"""What a checkpoint is once it has been read."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, BinaryIO

import torch
from torch import Tensor

from ..errors import InputError

MOST_TENSORS = 20_000  # the largest model that is read has about 1,000, a run ten times as many
_KINDS = {
    stat.S_IFDIR: 'a folder', stat.S_IFIFO: 'a pipe', stat.S_IFSOCK: 'a socket',
    stat.S_IFCHR: 'a device', stat.S_IFBLK: 'a device',
}  # fmt: skip


@dataclass
class Checkpoint:
    """What a checkpoint holds.

    Attributes:
        path (str): As it was given: a file, a folder, ``timm:<name>`` or ``hf:<name>``.
        kind (str): ``'torch'``, ``'safetensors'``, ``'onnx'``, ``'huggingface'`` or ``'timm'``.
        content (dict): Nested dictionaries as in the file, with tensors on the CPU that are mapped
            from the disk where the format allows it.
        config (dict, optional): What the checkpoint says about its model: ``meta`` of a run,
            ``config.json`` of Hugging Face (with ``preprocessor_config.json`` under the key
            ``preprocessor_config``), timm's ``pretrained_cfg`` with ``architecture`` and
            ``num_heads``, the metadata of a safetensors or ONNX file.
        files (tuple[str, ...]): The files that are hashed; empty for ``timm:``.
    """

    path: str
    kind: str
    content: dict[str, Any]
    config: dict[str, Any] | None = None
    files: tuple[str, ...] = field(default=(), repr=False)

    @cached_property
    def sha256(self) -> str:
        """:func:`~mmc_plugin.checkpoints.file_hash`, or that of the tensors without a file."""
        if self.files:
            return hash_files(self.files)
        return hash_tensors(self.content)


def hash_tensors(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 of names, types, shapes and values of tensors on the CPU, in hexadecimal digits."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].contiguous()
        digest.update(f'{name} {tensor.dtype} {tuple(tensor.shape)}\n'.encode())
        digest.update(tensor.flatten().view(torch.uint8).numpy())
    return digest.hexdigest()


def hash_files(files: Sequence[str | BinaryIO]) -> str:
    """SHA-256 of the bytes of files, one after the other, in hexadecimal digits.

    Those that are open are read from where they stand, and stay open.
    """
    digest = hashlib.sha256()
    for each in files:
        if isinstance(each, str):
            check_regular(each)
        with open(each, 'rb') if isinstance(each, str) else nullcontext(each) as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


def check_number(path: str, number: int) -> None:
    """Refuse more tensors than any model has."""
    if number > MOST_TENSORS:
        raise InputError(
            f'{path} holds {number:,} tensors, more than the {MOST_TENSORS:,} that are read'
        )


def check_regular(path: str) -> int:
    """The size of a file in bytes, before it is opened: reading a pipe would wait for a writer.

    Raises:
        FileNotFoundError: If there is nothing of that name.
        ValueError: If it is a folder, a pipe or a device.
    """
    try:
        status = os.stat(path)
    except (FileNotFoundError, NotADirectoryError, ValueError):  # the last: with a NUL in it
        raise FileNotFoundError(f'the checkpoint {path!s} does not exist') from None
    if not stat.S_ISREG(status.st_mode):
        kind = _KINDS.get(stat.S_IFMT(status.st_mode), 'no file')
        raise InputError(f'{path} is {kind}, where a file is needed')
    return status.st_size
