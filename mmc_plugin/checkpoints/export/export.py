"""Writes a vision transformer for another framework."""

from __future__ import annotations

import os
import os.path as osp
import re
import shutil
from collections.abc import Callable

from torch import nn

from ...durable import written_whole
from ...errors import InputError
from . import as_huggingface, as_mmpretrain, as_program, as_timm
from .card import Usage, model_card
from .exported_backbone import ExportedBackbone

# Name → what writes a file or folder and tells how to use it, and the ending of the file; a folder
# has none.
FORMATS: dict[str, tuple[Callable[[ExportedBackbone, str], Usage], str]] = {
    'mmpretrain': (as_mmpretrain.write_mmpretrain, '.pth'),
    'timm': (as_timm.write, '.pth'),
    'huggingface': (as_huggingface.write, ''),
    'safetensors': (as_mmpretrain.write_safetensors, '.safetensors'),
    'torchscript': (as_program.write_torchscript, '.pt'),
    'torch-export': (as_program.write_torch_export, '.pt2'),
    'onnx': (as_program.write_onnx, '.onnx'),
}
# What a folder of Hugging Face holds, and nothing else that somebody could miss.
_OF_EXPORTS = re.compile(
    r'config\.json|preprocessor_config\.json|README\.md|model(-\d{5}-of-\d{5})?\.safetensors|'
    r'model\.safetensors\.index\.json'
)


def export_backbone(
    model: nn.Module, destination: str, to: str, sha256: str, force: bool = False
) -> Usage:
    """Write a model for another framework, with a model card beside it.

    Args:
        model (PretrainedViT): As :func:`~mmc_plugin.apis.load_backbone` returns it.
        destination (str): File or, for Hugging Face, folder to write; its parents are made. It
            appears whole or not at all.
        to (str): One of :data:`FORMATS`.
        sha256 (str): Hash of the checkpoint that the model comes from, for the card.
        force (bool): Replace what is there.

    Returns:
        Usage: How to load what was written, as the card tells.

    Raises:
        FileExistsError: If something is there.
        ImportError: If the library for a format is not installed.
        ValueError: If a format is unknown, or has no place for something that the model has.
    """
    if to not in FORMATS:
        raise InputError(f'to must be one of {", ".join(FORMATS)}; got {to!r}')
    write, ending = FORMATS[to]
    check_destination(destination, to, force)
    backbone = ExportedBackbone(model, sha256)
    name = osp.basename(osp.abspath(destination))
    with written_whole(destination) as path:
        usage = write(backbone, path)
        card = _card_of(path, ending)
        with open(card, 'w', encoding='utf-8') as file:
            file.write(model_card(name, backbone, usage))
        for folder, _, names in os.walk(osp.dirname(path)):
            for each in names:  # safetensors lets nobody but the owner read its files
                shutil.copymode(card, osp.join(folder, each))
    return usage


def check_destination(destination: str, to: str, force: bool) -> str:
    """Refuse a destination of :func:`export_backbone` before work is done for it.

    Returns:
        str: Path of the model card.

    Raises:
        FileExistsError: If the file, the folder or the card is there.
        ValueError: If the name has the wrong ending.
    """
    ending = FORMATS[to][1]
    refuse_existing(destination, force, folder=not ending)
    if not destination.endswith(ending):
        raise InputError(f'{destination} does not end with {ending}, as a file for {to} should')
    card = _card_of(destination, ending)
    if ending:
        refuse_existing(card, force)
    return card


def _card_of(path: str, ending: str) -> str:
    # The whole name: exports for several frameworks may differ by their endings alone.
    return path + '.md' if ending else osp.join(path, 'README.md')


def refuse_existing(path: str, force: bool, folder: bool = False) -> None:
    """Refuse to replace a file, or a folder.

    Raises:
        FileExistsError: If it is there, unless ``force`` says otherwise: even then if it is of the
            other kind, or a folder with anything in it that is not of an export.
    """
    if not osp.lexists(path):
        return
    if osp.isdir(path) != folder:
        is_there, wanted = ('file', 'folder') if folder else ('folder', 'file')
        raise FileExistsError(
            f'{path} is a {is_there}, and a {wanted} would be written: name another'
        )
    if not force:
        raise FileExistsError(f'{path} exists: name another, or replace it with --force')
    for name in sorted(os.listdir(path)) if folder else ():
        if not (_OF_EXPORTS.fullmatch(name) and osp.isfile(osp.join(path, name))):
            raise FileExistsError(
                f'{path} holds {name}, which no export wrote, so it is not replaced: name another '
                'folder'
            )
