"""Folders of Hugging Face, and what its hub and timm have."""

from __future__ import annotations

import json
import os
import os.path as osp
from typing import Any

from ..errors import InputError, needing
from .checkpoint import Checkpoint, check_regular

_WEIGHT_FILES = ('.safetensors', '.bin', '.pth', '.pt', '.onnx')
_MODELS = ('model.safetensors', 'pytorch_model.bin')
_OTHER = ('tf_model.h5', 'flax_model.msgpack', 'model.ckpt.index')
_LARGEST_JSON = 1 << 26  # an index has about 100 bytes for each tensor
_FETCHED = ('config.json', 'preprocessor_config.json', '*.safetensors', '*.safetensors.index.json')


def read_config(path: str) -> tuple[str, dict[str, Any]]:
    """Whose folder it is, ``'huggingface'`` or ``'timm'``, and what it says of its model.

    Raises:
        FileNotFoundError: If it has no ``config.json``.
    """
    names = sorted(os.listdir(path))
    if 'config.json' not in names:
        files = [osp.join(path, name) for name in names if name.endswith(_WEIGHT_FILES)]
        hint = f'; give the file, such as {files[-1]}' if files else ''
        raise FileNotFoundError(
            f'the folder {path} is none of Hugging Face, for it has no config.json{hint}'
        )
    config = _read_json(osp.join(path, 'config.json'))
    if isinstance(config.get('pretrained_cfg'), dict):
        return 'timm', {**config.pop('pretrained_cfg'), **config}
    if 'preprocessor_config.json' in names:
        config['preprocessor_config'] = _read_json(osp.join(path, 'preprocessor_config.json'))
    return 'huggingface', config


def model_files(path: str) -> tuple[tuple[str, ...], set[str]]:
    """The files of a folder that its model is loaded from, and the tensors that an index names.

    These are ``model.safetensors`` or ``pytorch_model.bin`` as ``save_pretrained`` of transformers
    or timm writes them, or the parts of either that its ``.index.json`` names. Other files, such as
    the state of an optimiser, are none of the model.

    Raises:
        FileNotFoundError: If one is missing.
        ValueError: If the index names files elsewhere, or all weights are of TensorFlow.
    """
    names = set(os.listdir(path))
    for name in _MODELS:
        if name in names:
            return (osp.join(path, name),), set()
        if f'{name}.index.json' in names:
            index = _read_json(osp.join(path, f'{name}.index.json')).get('weight_map')
            if not isinstance(index, dict) or not all(
                isinstance(file, str) and osp.basename(file) == file for file in index.values()
            ):
                raise InputError(f'{name}.index.json in {path} does not map tensors to files in it')
            parts = sorted(set(index.values()))
            for missing in sorted(set(parts) - names):
                raise FileNotFoundError(f'the checkpoint {path} is not whole: it has no {missing}')
            return tuple(osp.join(path, part) for part in parts), set(index)
    other = [name for name in _OTHER if name in names]
    if other:
        raise InputError(
            f'{path} has only weights of TensorFlow or Flax ({other[0]}), which are not read: '
            'convert them with from_tf=True or from_flax=True of transformers'
        )
    raise FileNotFoundError(f'the folder {path} holds no weights: no {" or ".join(_MODELS)}')


def _read_json(path: str) -> dict[str, Any]:
    size = check_regular(path)
    if size > _LARGEST_JSON:
        raise InputError(f'{path} has {size:,} bytes, {_LARGEST_JSON:,} are read at most')
    try:
        with open(path, encoding='utf-8') as file:
            content = json.load(file)
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        raise InputError(f'{path} is not the JSON it should be')
    return content


def fetch(source: str) -> str:
    """Fetch the safetensors weights of ``hf:<user>/<name>[@<revision>]``, and no code.

    Returns:
        str: The folder that they are in.
    """
    with needing(f'install huggingface_hub to fetch {source}'):
        from huggingface_hub import snapshot_download
    name, _, revision = source.removeprefix('hf:').partition('@')
    try:
        return snapshot_download(name, revision=revision or None, allow_patterns=list(_FETCHED))
    except (OSError, ValueError) as error:
        raise ConnectionError(
            f'{source} could not be fetched ({_first_line(error)}): download the folder where '
            'there is a network and give its path'
        ) from None


def read_timm(source: str) -> Checkpoint:
    """Let timm make the model ``timm:<name>`` with its pretrained weights."""
    with needing(f'install timm to load {source}'):
        import timm
    name = source.removeprefix('timm:')
    if ':' not in name and not timm.is_model_pretrained(name):
        raise InputError(
            f'timm has no pretrained weights called {name}: see timm.list_pretrained("vit*")'
        )
    try:
        model = timm.create_model(name, pretrained=True)
    except (OSError, RuntimeError, ValueError) as error:
        raise ConnectionError(
            f'{source} could not be loaded ({_first_line(error)}): without a network, download its '
            'weights elsewhere and give the file or folder'
        ) from None
    config = dict(model.pretrained_cfg)
    if blocks := getattr(model, 'blocks', None):
        config['num_heads'] = getattr(getattr(blocks[0], 'attn', None), 'num_heads', None)
    return Checkpoint(source, 'timm', dict(model.state_dict()), config)


def _first_line(error: Exception) -> str:
    return str(error).strip().partition('\n')[0]
