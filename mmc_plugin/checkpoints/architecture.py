"""The architecture of a vision transformer, from the shapes of its weights."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmengine.utils import to_2tuple
from torch import Tensor

from ..errors import InputError
from .metadata import ModelMetadata

# Width and depth of releases whose heads are not 64 channels wide: ViT-H of MAE and others, the
# giants of EVA and of "Scaling Vision Transformers", SO400M, mmpretrain's 'small'.
_RELEASED_HEADS = {(1280, 32): 16, (1408, 40): 16, (1664, 48): 16, (1152, 27): 16, (768, 8): 8}
_HEAD_WIDTH = 64
_LAYER = re.compile(r'layers\.(\d+)\.')
_RANKS = {'patch_embed.projection.weight': 4, 'pos_embed': 3, 'cls_token': 3, 'registers': 3}
_SHOWN = 10


def infer_settings(
    weights: dict[str, Tensor],
    metadata: ModelMetadata,
    num_heads: int | None = None,
    img_size: tuple[int, int] | None = None,
) -> dict[str, Any]:
    """Keyword arguments of :class:`PretrainedViT` that fit the weights.

    Args:
        weights (dict[str, Tensor]): In the names of mmpretrain. ``pos_embed`` comes to hold one
            position for the class token and one for each patch: where the class token has none,
            zeros; where the registers have some, these are added to the registers.
        metadata (ModelMetadata): What the checkpoint says beyond that; it must say ``eps``.
        num_heads (int, optional): See :func:`~mmc_plugin.checkpoints.read_backbone`.
        img_size (tuple[int, int], optional): Likewise.

    Raises:
        ValueError: As the end of a sentence, if this is no plain vision transformer.
    """
    _check_tokens(weights)
    width, channels, *patch = weights['patch_embed.projection.weight'].shape
    layers = {int(match[1]) for match in map(_LAYER.match, weights) if match}
    if not layers:
        raise InputError('has a patch embedding and no layers after it')
    depth, last = len(layers), max(layers)
    if depth != last + 1:  # before a list of all that these would hold is made
        raise InputError(f'has {depth} layers, counted up to {last}: some are missing')
    if min(patch) < 1:
        raise InputError(f'has patches of {"×".join(map(str, patch))} pixels')
    swiglu = 'layers.0.ffn.w12.weight' in weights
    mlp = weights.get('layers.0.ffn.w3.weight' if swiglu else 'layers.0.ffn.layers.1.weight')
    if mlp is None or mlp.ndim != 2:
        raise InputError('has no feed-forward layers in its first layer')
    rows, columns = _split_positions(weights, patch, [metadata.img_size, img_size])
    layer_cfgs = dict(act_cfg=dict(metadata.act_cfg)) if metadata.act_cfg is not None else {}
    return dict(
        arch=dict(
            embed_dims=width,
            num_layers=depth,
            num_heads=_num_heads(width, depth, metadata.num_heads, num_heads),
            feedforward_channels=_swiglu_channels(mlp.shape[1]) if swiglu else mlp.shape[1],
        ),
        img_size=square(rows * patch[0], columns * patch[1]),
        patch_size=square(*patch),
        qkv_bias='layers.0.attn.qkv.bias' in weights,
        final_norm='ln1.weight' in weights,
        layer_scale_init_value=1.0 if 'layers.0.attn.gamma1.weight' in weights else 0.0,
        norm_cfg=dict(type='LN', eps=metadata.eps),
        patch_cfg=dict(bias='patch_embed.projection.bias' in weights),
        layer_cfgs=dict(ffn_type='swiglu_fused') if swiglu else layer_cfgs,
        num_registers=weights['registers'].shape[1] if 'registers' in weights else 0,
        **({} if channels == 3 else dict(in_channels=channels)),
    )


def expected_shapes(settings: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """Name → shape of each weight of the model with these settings."""
    width, hidden = (settings['arch'][name] for name in ('embed_dims', 'feedforward_channels'))
    linears = {'attn.qkv': (3 * width, width), 'attn.proj': (width, width)}
    if settings['layer_cfgs'].get('ffn_type') == 'swiglu_fused':
        hidden = _swiglu_hidden(hidden)
        linears |= {'ffn.w12': (2 * hidden, width), 'ffn.w3': (width, hidden)}
    else:
        linears |= {'ffn.layers.0.0': (hidden, width), 'ffn.layers.1': (width, hidden)}
    vectors = ['ln1.weight', 'ln1.bias', 'ln2.weight', 'ln2.bias']
    if settings['layer_scale_init_value']:
        vectors += ['attn.gamma1.weight', 'ffn.gamma2.weight']
    layer = dict.fromkeys(vectors, (width,))
    for name, shape in linears.items():
        layer |= {f'{name}.weight': shape, f'{name}.bias': shape[:1]}
    if not settings['qkv_bias']:
        del layer['attn.qkv.bias']
    shapes = dict(cls_token=(1, 1, width), pos_embed=(1, 1 + math.prod(grid(settings)), width))
    patch = to_2tuple(settings['patch_size'])
    shapes['patch_embed.projection.weight'] = (width, channels_of(settings), *patch)
    if settings['num_registers']:
        shapes['registers'] = (1, settings['num_registers'], width)
    vectors = ['patch_embed.projection.bias'] * settings['patch_cfg']['bias']
    vectors += ['ln1.weight', 'ln1.bias'] * settings['final_norm']
    shapes |= dict.fromkeys(vectors, (width,))
    for number in range(settings['arch']['num_layers']):
        shapes |= {f'layers.{number}.{name}': shape for name, shape in layer.items()}
    return shapes


def misfits(weights: Mapping[str, Tensor], shapes: Mapping[str, tuple[int, ...]]) -> list[str]:
    """What does not fit: each the end of a sentence, naming at most ten weights."""
    found = {name: tuple(value.shape) for name, value in weights.items()}
    wrong = [x for x in shapes if x in found and found[x] != shapes[x]]
    kinds = {
        'missing': [name for name in shapes if name not in found],
        'unexpected': [name for name in found if name not in shapes],
        'of the wrong shape': [f'{name} {found[name]} for {shapes[name]}' for name in wrong],
    }
    return [f'{kind}: {some(names)}' for kind, names in kinds.items() if names]


def some(names: list[str]) -> str:
    """At most ten names, and how many more there are."""
    more = len(names) - _SHOWN
    return ', '.join(names[:_SHOWN]) + (f' and {more} more' if more > 0 else '')


def describe(settings: Mapping[str, Any]) -> str:
    """An architecture in a few words."""
    arch, registers = settings['arch'], settings['num_registers']
    patch, positions = to_2tuple(settings['patch_size']), grid(settings)
    text = (
        f'width {arch["embed_dims"]}, {arch["num_layers"]} layers, {arch["num_heads"]} heads, '
        f'patch {patch[0]}×{patch[1]}, positions {positions[0]}×{positions[1]}'
    )
    text += '' if channels_of(settings) == 3 else f', {channels_of(settings)} channels'
    text += f', {registers} registers' if registers else ''
    text += ', LayerScale' if settings['layer_scale_init_value'] else ''
    return text + (', SwiGLU' if 'ffn_type' in settings['layer_cfgs'] else '')


def channels_of(settings: Mapping[str, Any]) -> int:
    """Channels of the images."""
    return settings.get('in_channels', 3)


def grid(settings: Mapping[str, Any]) -> tuple[int, int]:
    """Rows and columns of the positions."""
    size, patch = to_2tuple(settings['img_size']), to_2tuple(settings['patch_size'])
    return size[0] // patch[0], size[1] // patch[1]


def square(height: int, width: int) -> int | tuple[int, int]:
    """One number for the size of a square, two for others."""
    return height if height == width else (height, width)


def _check_tokens(weights: Mapping[str, Tensor]) -> None:
    if 'pos_embed' not in weights:
        raise InputError(
            'has no position embedding: models with rotary or relative positions (DINOv3, EVA, '
            'BEiT) are not read'
        )
    if 'cls_token' not in weights:
        raise InputError('has no class token: models that only average their patches are not read')
    for name, rank in _RANKS.items():
        if name in weights and weights[name].ndim != rank:
            shape = tuple(weights[name].shape)
            raise InputError(f'has a {name} of the shape {shape}, which has not {rank} dimensions')


def _split_positions(
    weights: dict[str, Tensor], patch: Sequence[int], sizes: list[tuple[int, int] | None]
) -> tuple[int, int]:
    """Rows and columns of the positions; makes ``pos_embed`` that of class token and patches."""
    positions = weights['pos_embed']
    registers = weights['registers'].shape[1] if 'registers' in weights else 0
    length = positions.shape[1]
    grids = [(size[0] // patch[0], size[1] // patch[1]) for size in sizes if size]
    # Positions of the class token and the patches; of the patches alone (timm's no_embed_class);
    # of class token, registers and patches.
    for extra in (1, 0, 1 + registers):
        side = math.isqrt(max(length - extra, 0))
        fitting = [each for each in [*grids, (side, side)] if math.prod(each) == length - extra > 0]
        if fitting:
            break
    else:
        raise InputError(
            f'has {length} positions, which are no square grid of patches: say with img_size= '
            'which height and width they are for'
        )
    if extra == 0:
        weights['pos_embed'] = torch.cat([torch.zeros_like(positions[:, :1]), positions], dim=1)
    elif extra > 1:
        weights['registers'] = weights['registers'] + positions[:, 1:extra]
        weights['pos_embed'] = torch.cat([positions[:, :1], positions[:, extra:]], dim=1)
    return fitting[0]


def _num_heads(width: int, depth: int, told: int | None, asked: int | None) -> int:
    if told is not None and asked is not None and told != asked:
        raise InputError(f'says that it has {told} attention heads, not {asked}')
    heads = told or asked or _RELEASED_HEADS.get((width, depth))
    if heads is None and width % _HEAD_WIDTH:
        raise InputError(
            f'does not say how many attention heads it has, and its width {width} is no multiple '
            f'of {_HEAD_WIDTH}: say it with num_heads='
        )
    heads = heads or width // _HEAD_WIDTH
    if heads < 1 or width % heads:
        raise InputError(f'has the width {width}, which {heads} attention heads do not divide')
    return heads


def _swiglu_hidden(channels: int) -> int:
    """Hidden width of mmpretrain's SwiGLU with this ``feedforward_channels``."""
    return (int(channels * 2 / 3) + 7) // 8 * 8


def _swiglu_channels(hidden: int) -> int:
    """``feedforward_channels`` that gives SwiGLU this hidden width."""
    channels = hidden * 3 // 2
    if _swiglu_hidden(channels) != hidden:
        raise InputError(f'has SwiGLU layers {hidden} wide, which is no multiple of 8')
    return channels
