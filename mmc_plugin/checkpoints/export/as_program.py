"""Programs that run without this package: TorchScript and ``torch.export``."""

from __future__ import annotations

import os.path as osp
import warnings

import torch

from .features import ExportedFeatures
from .guide import Guide
from .subject import Subject

_MAX_BATCH, _MAX_GRID = 65536, 4096
_DYNAMIC = (
    'Batch size and image size are free; height and width have to be multiples of the patch size.'
)


def write_torchscript(subject: Subject, path: str) -> Guide:
    """Write a traced program that ``torch.jit.load`` reads, in Python or C++.

    Args:
        subject (Subject): Any.
        path (str): File to write.
    """
    features = ExportedFeatures(subject.model).eval()
    with torch.no_grad(), warnings.catch_warnings():
        # Of newer Pythons, where TorchScript is not maintained; who asks for it knows.
        warnings.filterwarnings('ignore', '.*torch.jit', DeprecationWarning)
        program = torch.jit.trace(features, example_images(subject), check_trace=False)
        torch.jit.save(program, path)
    return Guide(
        title='a program of TorchScript',
        code=_code(subject, f'torch.jit.load({osp.basename(path)!r})'),
        notes=[_DYNAMIC],
    )


def write_torch_export(subject: Subject, path: str) -> Guide:
    """Write a program that ``torch.export.load`` reads.

    Args:
        subject (Subject): Any.
        path (str): File to write.
    """
    torch.export.save(exported_program(subject), path)
    return Guide(
        title='a program of torch.export',
        code=_code(subject, f'torch.export.load({osp.basename(path)!r}).module()'),
        notes=[_DYNAMIC, f'Written by torch {torch.__version__}; older ones may not read it.'],
    )


def exported_program(subject: Subject) -> torch.export.ExportedProgram:
    """The features as a program of ``torch.export`` with free batch and image size."""
    rows, columns = subject.patch_size
    shape = {
        0: torch.export.Dim('batch', min=1, max=_MAX_BATCH),
        2: rows * torch.export.Dim('rows', min=1, max=_MAX_GRID),
        3: columns * torch.export.Dim('columns', min=1, max=_MAX_GRID),
    }
    features = ExportedFeatures(subject.model).eval()
    with torch.no_grad():
        return torch.export.export(
            features, (example_images(subject),), dynamic_shapes=dict(images=shape)
        )


def example_images(subject: Subject) -> torch.Tensor:
    """Two images whose grid is neither square nor the model's own: nothing may depend on it."""
    rows, columns = subject.patch_size
    height, width = subject.size
    return torch.zeros(2, 3, height + rows, width + 2 * columns)


def _code(subject: Subject, loading: str) -> str:
    height, width = subject.size
    return f"""\
import torch
images = torch.rand(1, 3, {height}, {width})
model = {loading}
cls, patches = model(images)
"""
