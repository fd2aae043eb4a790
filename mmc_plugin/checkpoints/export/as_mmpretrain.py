"""Files in mmpretrain's names: its own checkpoints, and safetensors with their configuration."""

from __future__ import annotations

import os.path as osp

import torch

from ...errors import InputError, needing
from .card import Usage
from .exported_backbone import ExportedBackbone, as_code


def write_mmpretrain(backbone: ExportedBackbone, path: str) -> Usage:
    """Write a checkpoint that ``init_cfg=dict(type='Pretrained', ...)`` reads.

    Raises:
        ValueError: If the model has register tokens.
    """
    if backbone.registers:
        raise InputError(
            "mmpretrain's VisionTransformer has no register tokens: export to safetensors, which "
            'PretrainedViT reads, or to timm or huggingface'
        )
    meta = dict(cfg=backbone.run_config('VisionTransformer'))
    with open(path, 'wb') as file:  # torch writes the name of a path into the file
        torch.save(dict(meta=meta, state_dict=backbone.weights), file)
    config = backbone.config('VisionTransformer')
    config['init_cfg'] = dict(type='Pretrained', checkpoint=osp.basename(path))
    arguments = {key: value for key, value in config.items() if key != 'type'}
    model = f"model = VisionTransformer(**{as_code(arguments)}, out_type='raw')\n"
    return Usage(
        title="a checkpoint of mmpretrain's VisionTransformer",
        code=backbone.example(
            'from mmpretrain.models import VisionTransformer\n',
            f'{model}model.init_weights()\nmodel.eval()',
            'tokens, = model(images)',
        ),
        notes=[backbone.resizing('mmpretrain', antialias=False)],
        config=f"""\
backbone={as_code(config)}
data_preprocessor={as_code(backbone.images)}
""",
    )


def write_safetensors(backbone: ExportedBackbone, path: str) -> Usage:
    """Write weights and configuration; :func:`~mmc_plugin.apis.load_backbone` reads it.

    Raises:
        ImportError: If safetensors is not installed.
    """
    with needing('install safetensors to export to it'):
        from safetensors.torch import save_file
    weights = {name: value.contiguous() for name, value in backbone.weights.items()}
    save_file(weights, path, dict(format='pt', **backbone.metadata()))
    return Usage(
        title="a safetensors file in the names of mmpretrain's VisionTransformer",
        code=backbone.example(
            'from mmc_plugin.apis import load_backbone\n',
            f'model = load_backbone({osp.basename(path)!r})',
            'tokens, = model(images)',
        ),
        notes=['Images of any size that the patch size divides may be given.'],
    )
