"""Reads safetensors files."""

from __future__ import annotations

import os.path as osp

from .checkpoint import Checkpoint
from .torch_files import DOWNLOAD_AGAIN


def read_safetensors(path: str) -> Checkpoint:
    """Read a safetensors file; its tensors are mapped from the disk.

    Raises:
        ImportError: If safetensors is not installed.
        ValueError: If the file is damaged.
    """
    try:
        from safetensors import SafetensorError, safe_open
    except ImportError:
        raise ImportError(f'{path} is a safetensors file: install safetensors to read it') from None
    size = osp.getsize(path)
    with open(path, 'rb') as file:
        header = int.from_bytes(file.read(8), 'little')
    if header > size - 8:
        raise ValueError(
            f'{path} is cut short or damaged: its header claims {header:,} bytes, the file has '
            f'{size:,}; {DOWNLOAD_AGAIN}'
        )
    try:
        with safe_open(path, framework='pt', device='cpu') as file:
            content = {name: file.get_tensor(name) for name in file.keys()}
            metadata = file.metadata()
    except SafetensorError as error:
        # Its reader compares every size with the file before anything else.
        raise ValueError(f'{path} is cut short or damaged ({error}): {DOWNLOAD_AGAIN}') from None
    return Checkpoint(path, 'safetensors', content, metadata, (path,))
