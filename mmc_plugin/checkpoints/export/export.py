"""Writes a vision transformer for another framework."""

from __future__ import annotations

import os
import os.path as osp
import shutil
from collections.abc import Callable

from torch import nn

from . import as_huggingface, as_mmpretrain, as_onnx, as_program, as_safetensors, as_timm
from .card import model_card
from .destination import refuse_existing, whole
from .guide import Guide
from .subject import Subject

# Name → what writes it and the ending of the file; a folder has none.
FORMATS: dict[str, tuple[Callable[[Subject, str], Guide], str]] = {
    'mmpretrain': (as_mmpretrain.write, '.pth'),
    'timm': (as_timm.write, '.pth'),
    'huggingface': (as_huggingface.write, ''),
    'safetensors': (as_safetensors.write, '.safetensors'),
    'torchscript': (as_program.write_torchscript, '.pt'),
    'torch-export': (as_program.write_torch_export, '.pt2'),
    'onnx': (as_onnx.write, '.onnx'),
}


def export_backbone(
    model: nn.Module, destination: str, to: str, sha256: str, force: bool = False
) -> Guide:
    """Write a model for another framework, with a model card beside it.

    Args:
        model (PretrainedViT): As :func:`~mmc_plugin.apis.load_backbone` returns it.
        destination (str): File or, for Hugging Face, folder to write; its parents are made. It
            appears whole or not at all.
        to (str): One of :data:`FORMATS`.
        sha256 (str): Hash of the checkpoint that the model comes from, for the card.
        force (bool): Replace what is there.

    Returns:
        Guide: How to load what was written, as the card tells.

    Raises:
        FileExistsError: If something is there.
        ImportError: If the library for a format is not installed.
        ValueError: If a format is unknown, or has no place for something that the model has.
    """
    if to not in FORMATS:
        raise ValueError(f'to must be one of {", ".join(FORMATS)}; got {to!r}')
    write, ending = FORMATS[to]
    check_destination(destination, to, force)
    subject = Subject.of(model, sha256)
    name = osp.basename(osp.abspath(destination))
    with whole(destination) as path:
        guide = write(subject, path)
        beside = osp.join(path, 'README.md') if not ending else osp.splitext(path)[0] + '.md'
        with open(beside, 'w', encoding='utf-8') as file:
            file.write(model_card(name, subject, guide))
        for folder, _, names in os.walk(osp.dirname(path)):
            for each in names:  # safetensors lets nobody but the owner read its files
                shutil.copymode(beside, osp.join(folder, each))
    return guide


def check_destination(destination: str, to: str, force: bool) -> str:
    """Refuse a destination before work is done for it.

    Args:
        destination (str): File or folder to write.
        to (str): One of :data:`FORMATS`.
        force (bool): Replace what is there.

    Returns:
        str: Path of the model card.

    Raises:
        FileExistsError: If the file, the folder or the card is there.
        ValueError: If the name has the wrong ending.
    """
    ending = FORMATS[to][1]
    if not ending:
        refuse_existing(destination, force, folder=True)
        return osp.join(destination, 'README.md')
    if not destination.endswith(ending):
        raise ValueError(f'{destination} does not end with {ending}, as a file for {to} should')
    card = osp.splitext(destination)[0] + '.md'
    refuse_existing(destination, force)
    refuse_existing(card, force)
    return card
