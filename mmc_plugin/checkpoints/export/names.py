"""Names of a vision transformer's weights in mmpretrain → those of timm and Hugging Face."""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

_TIMM = {
    'cls_token': 'cls_token', 'pos_embed': 'pos_embed', 'registers': 'reg_token',
    'patch_embed.projection': 'patch_embed.proj', 'ln1': 'norm',
}  # fmt: skip
_TIMM_LAYER = {
    'ln1': 'norm1', 'ln2': 'norm2', 'attn.qkv': 'attn.qkv', 'attn.proj': 'attn.proj',
    'attn.gamma1.weight': 'ls1.gamma', 'ffn.gamma2.weight': 'ls2.gamma',
    'ffn.layers.0.0': 'mlp.fc1', 'ffn.layers.1': 'mlp.fc2',
    'ffn.w12': 'mlp.fc1', 'ffn.w3': 'mlp.fc2',
}  # fmt: skip
_HUGGINGFACE = {
    'cls_token': 'embeddings.cls_token', 'pos_embed': 'embeddings.position_embeddings',
    'registers': 'embeddings.register_tokens',
    'patch_embed.projection': 'embeddings.patch_embeddings.projection', 'ln1': 'layernorm',
}  # fmt: skip
_ATTENTION = {'attn.proj': 'attention.output.dense'}
_VIT_LAYER = _ATTENTION | {
    'ln1': 'layernorm_before', 'ln2': 'layernorm_after',
    'ffn.layers.0.0': 'intermediate.dense', 'ffn.layers.1': 'output.dense',
}  # fmt: skip
_DINOV2_LAYER = _ATTENTION | {
    'ln1': 'norm1', 'ln2': 'norm2',
    'attn.gamma1.weight': 'layer_scale1.lambda1', 'ffn.gamma2.weight': 'layer_scale2.lambda1',
    'ffn.layers.0.0': 'mlp.fc1', 'ffn.layers.1': 'mlp.fc2',
    'ffn.w12': 'mlp.weights_in', 'ffn.w3': 'mlp.weights_out',
}  # fmt: skip
_PARTS = ('query', 'key', 'value')
_LAYER = re.compile(r'layers\.(\d+)\.(.+)')
_QKV = re.compile(r'layers\.(\d+)\.attn\.qkv\.(weight|bias)')


def to_timm(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename weights for timm's ``VisionTransformer``; the tensors stay the same."""
    return {_rename(name, _TIMM, _TIMM_LAYER, 'blocks'): value for name, value in weights.items()}


def to_huggingface(weights: Mapping[str, Tensor], dinov2: bool) -> dict[str, Tensor]:
    """Rename weights for transformers before 5, and split query, key and value.

    Args:
        weights (Mapping[str, Tensor]): In the names of mmpretrain.
        dinov2 (bool): For ``Dinov2Model`` or ``Dinov2WithRegistersModel``; else ``ViTModel``.

    Returns:
        dict[str, Tensor]: No two of them share memory.
    """
    table = _DINOV2_LAYER if dinov2 else _VIT_LAYER
    renamed = {}
    for name, value in weights.items():
        qkv = _QKV.fullmatch(name)
        if qkv is None:
            renamed[_rename(name, _HUGGINGFACE, table, 'encoder.layer')] = value
            continue
        for part, piece in zip(_PARTS, value.chunk(3)):
            target = f'encoder.layer.{qkv[1]}.attention.attention.{part}.{qkv[2]}'
            renamed[target] = piece.clone()
    return renamed


def _rename(name: str, top: Mapping[str, str], layer: Mapping[str, str], blocks: str) -> str:
    match = _LAYER.fullmatch(name)
    table, path, rest = top, '', name
    if match is not None:
        table, path, rest = layer, f'{blocks}.{match[1]}.', match[2]
    if rest in table:
        return path + table[rest]
    stem, _, ending = rest.rpartition('.')
    return f'{path}{table[stem]}.{ending}'
