"""Programs that run without this package: TorchScript, ``torch.export`` and ONNX."""

from __future__ import annotations

import os.path as osp
import warnings

import torch

from .card import Usage
from .exported_backbone import ExportedBackbone
from .features import ExportedFeatures

OPSET = 18  # the first whose Resize can antialias
_LARGEST_FILE = 2**31 - 2**24  # of protocol buffers, less room for the graph
_MAX_BATCH, _MAX_GRID = 65536, 4096
_DYNAMIC = (
    'Batch size and image size are free; height and width have to be multiples of the patch size.'
)


def write_torchscript(backbone: ExportedBackbone, path: str) -> Usage:
    """Write a traced program that ``torch.jit.load`` reads, in Python or C++."""
    features = ExportedFeatures(backbone.model).eval()
    with torch.no_grad(), warnings.catch_warnings():
        # Of newer Pythons, where TorchScript is not maintained; who asks for it knows.
        warnings.filterwarnings('ignore', '.*torch.jit', DeprecationWarning)
        program = torch.jit.trace(features, _example_images(backbone), check_trace=False)
        torch.jit.save(program, path)
    loading = f'torch.jit.load({osp.basename(path)!r})'
    return Usage('a program of TorchScript', _code(backbone, loading), [_DYNAMIC])


def write_torch_export(backbone: ExportedBackbone, path: str) -> Usage:
    """Write a program that ``torch.export.load`` reads."""
    torch.export.save(_exported_program(backbone), path)
    return Usage(
        title='a program of torch.export',
        code=_code(backbone, f'torch.export.load({osp.basename(path)!r}).module()'),
        notes=[_DYNAMIC, f'Written by torch {torch.__version__}; older ones may not read it.'],
    )


def write_onnx(backbone: ExportedBackbone, path: str) -> Usage:
    """Write a model with the input ``images`` and the outputs ``cls`` and ``patches``.

    Weights keep their names, so that :func:`~mmc_plugin.apis.load_backbone` reads the file too;
    runtimes fold what follows from weights alone when they load it. Weights of more than 2 GiB go
    into ``<name>.onnx.data`` beside it.

    Raises:
        ImportError: If onnxscript is not installed.
    """
    try:
        import onnxscript  # noqa: F401
    except ImportError:
        raise ImportError('install onnx and onnxscript to export to ONNX') from None
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # of the exporter, on its own insides
        program = torch.onnx.export(
            _exported_program(backbone),
            (_example_images(backbone),),
            dynamo=True,
            optimize=False,
            opset_version=OPSET,
            input_names=['images'],
            output_names=['cls', 'patches'],
            verbose=False,
        )
    program.model.metadata_props.update(backbone.metadata())
    size = sum(value.nbytes for value in backbone.weights.values())
    program.save(path, external_data=size > _LARGEST_FILE)
    height, width = backbone.size
    return Usage(
        title=f'an ONNX model (opset {OPSET})',
        code=f"""\
import numpy
import onnxruntime
images = numpy.random.rand(1, 3, {height}, {width}).astype('float32')
session = onnxruntime.InferenceSession({osp.basename(path)!r})
cls, patches = session.run(['cls', 'patches'], dict(images=images))
""",
        notes=[_DYNAMIC],
    )


def _exported_program(backbone: ExportedBackbone) -> torch.export.ExportedProgram:
    """The features as a program of ``torch.export`` with free batch and image size."""
    rows, columns = backbone.patch_size
    shape = {
        0: torch.export.Dim('batch', min=1, max=_MAX_BATCH),
        2: rows * torch.export.Dim('rows', min=1, max=_MAX_GRID),
        3: columns * torch.export.Dim('columns', min=1, max=_MAX_GRID),
    }
    features, images = ExportedFeatures(backbone.model).eval(), _example_images(backbone)
    with torch.no_grad():
        return torch.export.export(features, (images,), dynamic_shapes=dict(images=shape))


def _example_images(backbone: ExportedBackbone) -> torch.Tensor:
    """Two images whose grid is neither square nor the model's own: nothing may depend on it."""
    rows, columns = backbone.patch_size
    height, width = backbone.size
    return torch.zeros(2, 3, height + rows, width + 2 * columns)


def _code(backbone: ExportedBackbone, loading: str) -> str:
    height, width = backbone.size
    return f"""\
import torch
images = torch.rand(1, 3, {height}, {width})
model = {loading}
cls, patches = model(images)
"""
