"""An ONNX model."""

from __future__ import annotations

import os.path as osp
import warnings

import torch

from .as_program import example_images, exported_program
from .guide import Guide
from .subject import Subject

OPSET = 18  # the first whose Resize can antialias
_LARGEST_FILE = 2**31 - 2**24  # of protocol buffers, less room for the graph


def write(subject: Subject, path: str) -> Guide:
    """Write a model with the input ``images`` and the outputs ``cls`` and ``patches``.

    Weights keep their names, so that :func:`~mmc_plugin.apis.load_backbone` reads the file too;
    runtimes fold what follows from weights alone when they load it. Weights of more than 2 GiB go
    into ``<name>.onnx.data`` beside it.

    Args:
        subject (Subject): Any.
        path (str): File to write.

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
            exported_program(subject),
            (example_images(subject),),
            dynamo=True,
            optimize=False,
            opset_version=OPSET,
            input_names=['images'],
            output_names=['cls', 'patches'],
            verbose=False,
        )
    program.model.metadata_props.update(
        cfg=subject.run_config(),
        source=subject.source,
        source_sha256=subject.sha256,
    )
    size = sum(value.nbytes for value in subject.weights.values())
    program.save(path, external_data=size > _LARGEST_FILE)
    height, width = subject.size
    return Guide(
        title=f'an ONNX model (opset {OPSET})',
        code=f"""\
import numpy
import onnxruntime
images = numpy.random.rand(1, 3, {height}, {width}).astype('float32')
session = onnxruntime.InferenceSession({osp.basename(path)!r})
cls, patches = session.run(['cls', 'patches'], dict(images=images))
""",
        notes=[
            'Batch size and image size are free; height and width have to be multiples of the '
            'patch size.'
        ],
    )
