"""Reads folders of Hugging Face, and what its hub and timm have."""

from __future__ import annotations

import json
import os
import os.path as osp
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from ..errors import InputError, MissingPackageError
from .checkpoint import Checkpoint, check_regular

_WEIGHT_FILES = ('.safetensors', '.bin', '.pth', '.pt', '.onnx')
_MODELS = ('model.safetensors', 'pytorch_model.bin')
_OTHER = ('tf_model.h5', 'flax_model.msgpack', 'model.ckpt.index')
_LARGEST_JSON = 1 << 26  # an index has about 100 bytes for each tensor
_FETCHED = ('config.json', 'preprocessor_config.json', '*.safetensors', '*.safetensors.index.json')


def weight_files(path: str) -> tuple[str, ...]:
    """Paths of the weight files in a folder, in the order of their names."""
    names = sorted(name for name in os.listdir(path) if name.endswith(_WEIGHT_FILES))
    paths = (osp.join(path, name) for name in names)
    return tuple(each for each in paths if osp.isfile(each))


def read_folder(
    path: str, allow_pickle: bool, read_file: Callable[[str, bool], Checkpoint]
) -> Checkpoint:
    """Read a folder that ``save_pretrained`` of transformers or ``timm`` wrote.

    It has ``config.json`` and ``model.safetensors`` or ``pytorch_model.bin``, or the parts of
    either beside their ``.index.json``. For errors see
    :func:`~mmc_plugin.checkpoints.read_checkpoint`.
    """
    names, files = set(os.listdir(path)), weight_files(path)
    if 'config.json' not in names:
        hint = f'; give the file, such as {files[-1]}' if files else ''
        raise FileNotFoundError(
            f'the folder {path} is none of Hugging Face, for it has no config.json{hint}'
        )
    config = _read_json(osp.join(path, 'config.json'))
    parts, index = _parts(path, names)
    content: dict[str, Any] = {}
    for part in parts:
        content.update(read_file(osp.join(path, part), allow_pickle).content)
    missing = sorted(set(index) - set(content))
    if missing:
        raise InputError(f'{path} is not whole: {missing[0]} is in none of its weight files')
    kind = 'huggingface'
    if isinstance(config.get('pretrained_cfg'), dict):  # timm's config.json
        kind, config = 'timm', {**config.pop('pretrained_cfg'), **config}
    elif 'preprocessor_config.json' in names:
        preprocessor = _read_json(osp.join(path, 'preprocessor_config.json'))
        config = {**config, 'preprocessor_config': preprocessor}
    return Checkpoint(path, kind, content, config, files)


def _parts(path: str, names: set[str]) -> tuple[list[str], dict[str, str]]:
    """Names of the files to read, and tensor → file where they are several."""
    for name in _MODELS:
        if name in names:
            return [name], {}
        if f'{name}.index.json' in names:
            index = _read_json(osp.join(path, f'{name}.index.json')).get('weight_map')
            if not isinstance(index, dict) or not all(
                isinstance(file, str) and osp.basename(file) == file for file in index.values()
            ):
                raise InputError(f'{name}.index.json in {path} does not map tensors to files in it')
            parts = sorted(set(index.values()))
            missing = sorted(set(parts) - names)
            if missing:
                raise FileNotFoundError(
                    f'the checkpoint {path} is not whole: it has no {missing[0]}'
                )
            return parts, index
    other = [name for name in _OTHER if name in names]
    if other:
        raise InputError(
            f'{path} has only weights of TensorFlow or Flax ({other[0]}), which are not read: '
            'convert them with from_tf=True or from_flax=True of transformers'
        )
    raise FileNotFoundError(f'the folder {path} has a config.json but no {" or ".join(_MODELS)}')


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


def read_hub(source: str, read_file: Callable[[str, bool], Checkpoint]) -> Checkpoint:
    """Fetch the safetensors weights of ``hf:<user>/<name>[@<revision>]``, and no code."""
    try:
        from huggingface_hub import snapshot_download
    except ImportError:
        raise MissingPackageError(f'install huggingface_hub to fetch {source}') from None
    name, _, revision = source.removeprefix('hf:').partition('@')
    try:
        folder = snapshot_download(name, revision=revision or None, allow_patterns=list(_FETCHED))
    except (OSError, ValueError) as error:
        raise ConnectionError(
            f'{source} could not be fetched ({_first_line(error)}): download the folder where '
            'there is a network and give its path'
        ) from None
    return replace(read_folder(folder, False, read_file), path=source)


def read_timm(source: str) -> Checkpoint:
    """Let timm make the model ``timm:<name>`` with its pretrained weights."""
    try:
        import timm
    except ImportError:
        raise MissingPackageError(f'install timm to load {source}') from None
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
