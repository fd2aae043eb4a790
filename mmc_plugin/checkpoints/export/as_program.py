"""Programs that run without this package: TorchScript, ``torch.export`` and ONNX."""

from __future__ import annotations

import os.path as osp
import warnings

import torch
import torch.nn.functional as F
from mmengine.utils import digit_version
from torch import Tensor, nn

from ...errors import InputError, needing
from .card import Usage
from .exported_backbone import ExportedBackbone

OPSET = 18  # the first whose Resize can antialias
_LARGEST_FILE = 2**31 - 2**24  # of protocol buffers, less room for the graph
_MAX_BATCH, _MAX_GRID = 65536, 4096
_DYNAMIC = (
    'Batch size and image size are free; height and width have to be multiples of the patch size.'
)


class ExportedFeatures(nn.Module):
    """Class token and patch features of a :class:`PretrainedViT`, for programs without Python.

    It computes what the model does, but the positions are always resized: the question whether
    they have to be cannot be asked in a program that takes images of every size. Resized to their
    own grid they stay as they are.

    Args:
        model (PretrainedViT): Its parts become parts of this module, under their names.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.patch_embed, self.cls_token = model.patch_embed, model.cls_token
        self.pos_embed, self.registers = model.pos_embed, model.registers
        self.layers = model.layers
        self.ln1 = model.ln1 if model.final_norm else nn.Identity()
        self.grid = tuple(model.patch_resolution)
        self.resizing = dict(mode=model.interpolate_mode, antialias=model.pos_antialias)
        self.eval()

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Class tokens (B, D) and patches (B, N, D), row by row, of images (B, C, H, W)."""
        x, grid = self.patch_embed(images)  # (B,N,D)
        positions = self.pos_embed[:, 1:].unflatten(1, self.grid).permute(0, 3, 1, 2)  # (1,D,h,w)
        positions = F.interpolate(positions, size=tuple(grid), **self.resizing)
        x = x + positions.flatten(2).transpose(1, 2)
        first = self.cls_token + self.pos_embed[:, :1]
        if self.registers is not None:
            first = torch.cat([first, self.registers], dim=1)  # (1,1+R,D)
        x = torch.cat([first.expand(x.shape[0], -1, -1), x], dim=1)  # (B,1+R+N,D)
        for layer in self.layers:
            x = layer(x)
        x = self.ln1(x)
        return x[:, 0], x[:, first.shape[1] :]


def write_torchscript(backbone: ExportedBackbone, path: str) -> Usage:
    """Write a traced program that ``torch.jit.load`` reads, in Python or C++."""
    features, images = ExportedFeatures(backbone.model), _example_images(backbone)
    with torch.no_grad(), warnings.catch_warnings():
        # Of newer Pythons, where TorchScript is not maintained; who asks for it knows.
        warnings.filterwarnings('ignore', '.*torch.jit', DeprecationWarning)
        torch.jit.save(torch.jit.trace(features, images, check_trace=False), path)
    code = backbone.example('', f'model = torch.jit.load({osp.basename(path)!r})')
    return Usage('a program of TorchScript', code, [_DYNAMIC])


def write_torch_export(backbone: ExportedBackbone, path: str) -> Usage:
    """Write a program that ``torch.export.load`` reads."""
    torch.export.save(_exported_program(backbone), path)
    code = backbone.example('', f'model = torch.export.load({osp.basename(path)!r}).module()')
    version = f'Written by torch {torch.__version__}; older ones may not read it.'
    return Usage('a program of torch.export', code, [_DYNAMIC, version])


def write_onnx(backbone: ExportedBackbone, path: str) -> Usage:
    """Write a model with the input ``images`` and the outputs ``cls`` and ``patches``.

    Weights keep their names, so that :func:`~mmc_plugin.apis.load_backbone` reads the file too;
    runtimes fold what follows from weights alone when they load it. Weights of more than 2 GiB go
    into ``<name>.onnx.data`` beside it.

    Raises:
        ImportError: If onnxscript is not installed.
        ValueError: With PyTorch 2.5, which cannot write images of every size.
    """
    if digit_version(torch.__version__) < digit_version('2.6'):
        raise InputError(
            f'PyTorch {torch.__version__} cannot write an ONNX model for images of every size: '
            'export with a newer one, or to torchscript'
        )
    with needing('install onnx and onnxscript to export to ONNX'):
        import onnxscript  # noqa: F401
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
    code = f"""\
import numpy
import onnxruntime
images = numpy.random.rand(1, {backbone.channels}, {height}, {width}).astype('float32')
session = onnxruntime.InferenceSession({osp.basename(path)!r})
cls, patches = session.run(['cls', 'patches'], dict(images=images))
"""
    return Usage(f'an ONNX model (opset {OPSET})', code, [_DYNAMIC])


def _exported_program(backbone: ExportedBackbone) -> torch.export.ExportedProgram:
    """The features as a program of ``torch.export`` with free batch and image size."""
    rows, columns = backbone.patch_size
    shape = {
        0: torch.export.Dim('batch', min=1, max=_MAX_BATCH),
        2: rows * torch.export.Dim('rows', min=1, max=_MAX_GRID),
        3: columns * torch.export.Dim('columns', min=1, max=_MAX_GRID),
    }
    features, images = ExportedFeatures(backbone.model), _example_images(backbone)
    with torch.no_grad():
        # Strict is the default before PyTorch 2.7 and cannot follow mmcv's decorators.
        return torch.export.export(
            features, (images,), dynamic_shapes=dict(images=shape), strict=False
        )


def _example_images(backbone: ExportedBackbone) -> Tensor:
    """Two images whose grid is neither square nor the model's own: nothing may depend on it."""
    (height, width), (rows, columns) = backbone.size, backbone.patch_size
    return torch.zeros(2, backbone.channels, height + rows, width + 2 * columns)
