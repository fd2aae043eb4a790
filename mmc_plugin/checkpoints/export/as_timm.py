"""A state dict for timm's ``VisionTransformer``."""

from __future__ import annotations

import functools
import os.path as osp
from typing import Any

import torch
from torch import nn

from ...errors import needing
from ..names import from_mmpretrain
from .card import Usage
from .exported_backbone import ExportedBackbone, ratio

_SIZES = {
    (192, 12): 'tiny', (384, 12): 'small', (768, 12): 'base', (1024, 24): 'large',
    (1280, 32): 'huge', (1408, 40): 'giant', (1536, 40): 'giant',
}  # fmt: skip


def write(backbone: ExportedBackbone, path: str) -> Usage:
    """Write a checkpoint that ``timm.create_model(..., checkpoint_path=...)`` reads.

    Raises:
        ImportError: If timm is not installed.
    """
    with needing('install timm to export to it'):
        import timm
    arguments, code = _arguments(backbone)
    with torch.device('meta'):  # no memory is taken and nothing drawn
        model = timm.models.VisionTransformer(**arguments)
    weights = _weights(backbone)
    model.load_state_dict(weights, strict=True, assign=True)
    name = _name(model, backbone)
    architecture = name or 'VisionTransformer'
    meta = dict(architecture=architecture, cfg=backbone.run_config(antialias=True))
    with open(path, 'wb') as file:  # torch writes the name of a path into the file
        torch.save(dict(meta=meta, state_dict=weights), file)
    making = (
        f'model = timm.models.VisionTransformer({code}, dynamic_img_size=True)\n'
        f'timm.models.load_checkpoint(model, {osp.basename(path)!r})'
    )
    channels = '' if backbone.channels == 3 else f'in_chans={backbone.channels}, '
    if name is not None:
        making = (
            f"model = timm.create_model('{name}', num_classes=0, img_size={backbone.size}, "
            f'{channels}dynamic_img_size=True, checkpoint_path={osp.basename(path)!r})'
        )
    return Usage(
        title=f'a checkpoint of timm ({architecture})',
        code=backbone.example(
            ('import functools\n' if 'functools.' in making else '') + 'import timm\n',
            making,
            'tokens = model.eval().forward_features(images)',
            backbone.registers,
        ),
        notes=[backbone.resizing('timm', antialias=True)],
    )


def _arguments(backbone: ExportedBackbone) -> tuple[dict[str, Any], str]:
    """Keyword arguments of timm's ``VisionTransformer``, and the same as Python."""
    from timm.layers import SwiGLUPacked

    width, registers = backbone.arch['embed_dims'], backbone.registers
    arguments = dict(
        img_size=backbone.size,
        patch_size=backbone.patch_size,
        **({} if backbone.channels == 3 else dict(in_chans=backbone.channels)),
        embed_dim=width,
        depth=backbone.arch['num_layers'],
        num_heads=backbone.arch['num_heads'],
        mlp_ratio=ratio(backbone.hidden * (2 if backbone.swiglu else 1), width),
        num_classes=0,
        qkv_bias=backbone.settings['qkv_bias'],
        final_norm=backbone.settings['final_norm'],
        init_values=1.0 if backbone.layer_scale else None,
        reg_tokens=registers,
        no_embed_class=bool(registers),
        act_layer=None if backbone.activation == 'gelu' else backbone.activation,
    )
    code = [f'{key}={value!r}' for key, value in arguments.items()]
    if backbone.eps != 1e-6:  # timm's own
        arguments['norm_layer'] = functools.partial(nn.LayerNorm, eps=backbone.eps)
        code.append(f'norm_layer=functools.partial(torch.nn.LayerNorm, eps={backbone.eps!r})')
    if backbone.swiglu:
        arguments['mlp_layer'] = SwiGLUPacked
        code.append('mlp_layer=timm.layers.SwiGLUPacked')
    return arguments, ', '.join(code)


def _weights(backbone: ExportedBackbone) -> dict[str, torch.Tensor]:
    weights = from_mmpretrain(backbone.weights, 'timm')
    projection = weights['patch_embed.proj.weight']
    weights.setdefault('patch_embed.proj.bias', projection.new_zeros(len(projection)))
    if backbone.registers:
        # Positions are those of the patches alone then, and that of the class token joins it.
        positions = weights['pos_embed']
        weights['cls_token'] = weights['cls_token'] + positions[:, :1]
        weights['pos_embed'] = positions[:, 1:].clone()
    return weights


def _name(model: nn.Module, backbone: ExportedBackbone) -> str | None:
    """The name under which timm has this very architecture."""
    import timm

    size = _SIZES.get((backbone.arch['embed_dims'], backbone.arch['num_layers']))
    stem = f'vit_{size}_patch{backbone.patch_size[0]}'
    registers = f'_reg{backbone.registers}' if backbone.registers else ''
    endings = [f'_{backbone.size[0]}', '_224'] * (not registers)
    for name in [stem + ending for ending in [*endings, f'{registers}_dinov2']]:
        if not timm.is_model(name):
            continue
        with torch.device('meta'):
            named = timm.create_model(
                name, num_classes=0, img_size=backbone.size, in_chans=backbone.channels
            )
        if _facts(named) == _facts(model):
            return name
    return None


def _facts(model: nn.Module) -> tuple:
    """What two equal models share: the text tells norms with their eps, activations and layers."""
    shapes = {key: value.shape for key, value in model.state_dict().items()}
    return model.blocks[0].attn.num_heads, shapes, repr(model)
