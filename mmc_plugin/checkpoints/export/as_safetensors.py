"""A safetensors file in mmpretrain's names."""

from __future__ import annotations

import os.path as osp

from .guide import Guide
from .subject import Subject


def write(subject: Subject, path: str) -> Guide:
    """Write weights and configuration; :func:`~mmc_plugin.apis.load_backbone` reads it.

    Args:
        subject (Subject): Any.
        path (str): File to write.

    Raises:
        ImportError: If safetensors is not installed.
    """
    try:
        from safetensors.torch import save_file
    except ImportError:
        raise ImportError('install safetensors to export to it') from None
    weights = {name: value.contiguous() for name, value in subject.weights.items()}
    metadata = dict(
        format='pt',
        cfg=subject.run_config(),
        source=subject.source,
        source_sha256=subject.sha256,
    )
    save_file(weights, path, metadata)
    height, width = subject.size
    return Guide(
        title="a safetensors file in the names of mmpretrain's VisionTransformer",
        code=f"""\
import torch
from mmc_plugin.apis import load_backbone
images = torch.rand(1, 3, {height}, {width})
model = load_backbone({osp.basename(path)!r})
tokens, = model(images)
cls, patches = tokens[:, 0], tokens[:, 1:]
""",
        notes=['Images of any size that the patch size divides may be given.'],
    )
