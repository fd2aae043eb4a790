"""A state dict for timm's ``VisionTransformer``."""

from __future__ import annotations

import functools
import os.path as osp
from typing import Any

import torch
from torch import nn

from .guide import Guide
from .names import to_timm
from .subject import Subject, ratio, zeros_for

_SIZES = {
    (192, 12): 'tiny', (384, 12): 'small', (768, 12): 'base', (1024, 24): 'large',
    (1280, 32): 'huge', (1408, 40): 'giant', (1536, 40): 'giant',
}  # fmt: skip


def write(subject: Subject, path: str) -> Guide:
    """Write a checkpoint that ``timm.create_model(..., checkpoint_path=...)`` reads.

    Args:
        subject (Subject): Any.
        path (str): File to write.

    Raises:
        ImportError: If timm is not installed.
    """
    try:
        import timm
    except ImportError:
        raise ImportError('install timm to export to it') from None
    arguments, code = _arguments(subject)
    model = _on_meta(timm.models.VisionTransformer, **arguments)
    weights = _weights(subject)
    model.load_state_dict(weights, strict=True, assign=True)
    name = next((each for each in _candidates(subject) if _is(each, model, subject)), None)
    architecture = name or 'VisionTransformer'
    meta = dict(architecture=architecture, cfg=subject.run_config(antialias=True))
    with open(path, 'wb') as file:  # torch writes the name of a path into the file
        torch.save(dict(meta=meta, state_dict=weights), file)
    file_name = osp.basename(path)
    height, width = subject.size
    if name is not None:
        imports = 'import timm\nimport torch\n'
        making = (
            f"model = timm.create_model('{name}', num_classes=0, img_size=({height}, {width}), "
            f'dynamic_img_size=True, checkpoint_path={file_name!r})\n'
        )
    else:
        imports = 'import functools\n' if 'functools.' in code else ''
        imports += 'import timm\nimport torch\n'
        making = (
            f'model = timm.models.VisionTransformer({code}, dynamic_img_size=True)\n'
            f'timm.models.load_checkpoint(model, {file_name!r})\n'
        )
    tokens = 1 + subject.registers
    return Guide(
        title=f'a checkpoint of timm ({architecture})',
        code=(
            f'{imports}images = torch.rand(1, 3, {height}, {width})\n{making}'
            'tokens = model.eval().forward_features(images)\n'
            f'cls, patches = tokens[:, 0], tokens[:, {tokens}:]\n'
        ),
        notes=[subject.resizing('timm', antialias=True)],
    )


def _arguments(subject: Subject) -> tuple[dict[str, Any], str]:
    """Keyword arguments of timm's ``VisionTransformer``, and the same as Python."""
    from timm.layers import SwiGLUPacked

    arch, width = subject.arch, subject.arch['embed_dims']
    hidden = 2 * subject.hidden if subject.swiglu else subject.hidden
    arguments = dict(
        img_size=subject.size,
        patch_size=subject.patch_size,
        embed_dim=width,
        depth=arch['num_layers'],
        num_heads=arch['num_heads'],
        mlp_ratio=ratio(hidden, width),
        num_classes=0,
    )
    if not subject.settings['qkv_bias']:
        arguments['qkv_bias'] = False
    if not subject.settings['final_norm']:
        arguments['final_norm'] = False
    if subject.layer_scale:
        arguments['init_values'] = 1.0
    if subject.registers:
        arguments |= dict(reg_tokens=subject.registers, no_embed_class=True)
    if subject.activation != 'gelu':
        arguments['act_layer'] = subject.activation
    code = [f'{key}={value!r}' for key, value in arguments.items()]
    if subject.eps != 1e-6:  # timm's own
        arguments['norm_layer'] = functools.partial(nn.LayerNorm, eps=subject.eps)
        code.append(f'norm_layer=functools.partial(torch.nn.LayerNorm, eps={subject.eps!r})')
    if subject.swiglu:
        arguments['mlp_layer'] = SwiGLUPacked
        code.append('mlp_layer=timm.layers.SwiGLUPacked')
    return arguments, ', '.join(code)


def _weights(subject: Subject) -> dict[str, torch.Tensor]:
    weights = to_timm(subject.weights)
    projection = weights['patch_embed.proj.weight']
    weights.setdefault('patch_embed.proj.bias', zeros_for(projection))
    if subject.registers:
        # Positions are those of the patches alone then, and that of the class token joins it.
        positions = weights['pos_embed']
        weights['cls_token'] = weights['cls_token'] + positions[:, :1]
        weights['pos_embed'] = positions[:, 1:].clone()
    return weights


def _candidates(subject: Subject) -> list[str]:
    """Names that timm might have for this architecture."""
    size = _SIZES.get((subject.arch['embed_dims'], subject.arch['num_layers']))
    if size is None:
        return []
    stem = f'vit_{size}_patch{subject.patch_size[0]}'
    registers = f'_reg{subject.registers}' if subject.registers else ''
    endings = [str(subject.size[0]), '224'] * (not registers)
    return [f'{stem}_{ending}' for ending in endings] + [f'{stem}{registers}_dinov2']


def _is(name: str, model: nn.Module, subject: Subject) -> bool:
    """Whether timm's model of that name is this one."""
    import timm

    if not timm.is_model(name):
        return False
    named = _on_meta(timm.create_model, name, num_classes=0, img_size=subject.size)
    heads = [each.blocks[0].attn.num_heads for each in (named, model)]
    shapes = [
        {key: value.shape for key, value in each.state_dict().items()} for each in (named, model)
    ]
    # The text has the kind and eps of norms, the activation, and the kind of each layer.
    return heads[0] == heads[1] and shapes[0] == shapes[1] and repr(named) == repr(model)


def _on_meta(make: Any, *args: Any, **kwargs: Any) -> nn.Module:
    with torch.device('meta'):  # no memory is taken and nothing drawn
        return make(*args, **kwargs)
