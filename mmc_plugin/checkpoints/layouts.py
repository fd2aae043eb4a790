"""Names of a vision transformer's weights in timm and Hugging Face → those of mmpretrain.

The self-supervised releases (DINO, iBOT, MAE, MSN, MoCo-v3, SiT, MC-SSL, GMML, DINOv2) all use
timm's names, with additions of their own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor

# A name of mmpretrain; or that, the place of a part in it and the number of parts: query, key and
# value follow each other in one matrix there, and so do the gate and the value of SwiGLU.
Part = tuple[str, int, int]
Table = dict[str, str | Part]

_PATCH = 'patch_embed.projection'
_TOP: dict[str, Table] = dict(
    mmpretrain={
        name: name for name in ('cls_token', 'pos_embed', 'registers', _PATCH, 'ln1')
    },
    timm={
        'cls_token': 'cls_token', 'pos_embed': 'pos_embed',
        'reg_token': 'registers', 'register_tokens': 'registers',
        'patch_embed.proj': _PATCH, 'norm': 'ln1',
    },
    huggingface={
        'embeddings.cls_token': 'cls_token',
        'embeddings.position_embeddings': 'pos_embed',
        'embeddings.register_tokens': 'registers',
        'embeddings.patch_embeddings.projection': _PATCH, 'layernorm': 'ln1',
    },
)  # fmt: skip
# DINOv2 may keep its blocks in chunks: blocks.<chunk>.<layer>, the layer counted over all chunks.
_LAYER = dict(
    mmpretrain=re.compile(r'layers\.(\d+)\.(.+)'),
    timm=re.compile(r'blocks\.(?:\d+\.)?(\d+)\.(.+)'),
    huggingface=re.compile(r'(?:encoder\.)?layers?\.(\d+)\.(.+)'),
)
_IN_LAYER: dict[str, Table] = dict(
    mmpretrain={
        name: name
        for name in (
            'ln1', 'attn.qkv', 'attn.proj', 'attn.gamma1.weight', 'ln2', 'ffn.layers.0.0',
            'ffn.layers.1', 'ffn.w12', 'ffn.w3', 'ffn.gamma2.weight',
        )
    },
    timm={
        'norm1': 'ln1', 'attn.qkv': 'attn.qkv', 'attn.proj': 'attn.proj',
        'norm2': 'ln2', 'mlp.fc1': 'ffn.layers.0.0', 'mlp.fc2': 'ffn.layers.1',
        'mlp.w12': 'ffn.w12', 'mlp.w3': 'ffn.w3',
        'ls1.gamma': 'attn.gamma1.weight', 'ls2.gamma': 'ffn.gamma2.weight',
    },
    huggingface={
        # Both families, in the names of transformers 5.
        'attention.q_proj': ('attn.qkv', 0, 3), 'attention.k_proj': ('attn.qkv', 1, 3),
        'attention.v_proj': ('attn.qkv', 2, 3), 'attention.o_proj': 'attn.proj',
        'mlp.fc1': 'ffn.layers.0.0', 'mlp.fc2': 'ffn.layers.1',
        # ViT.
        'layernorm_before': 'ln1', 'layernorm_after': 'ln2',
        # DINOv2.
        'norm1': 'ln1', 'norm2': 'ln2',
        'layer_scale1.lambda1': 'attn.gamma1.weight',
        'layer_scale2.lambda1': 'ffn.gamma2.weight',
        'mlp.gate_proj': ('ffn.w12', 0, 2), 'mlp.up_proj': ('ffn.w12', 1, 2),
        'mlp.down_proj': 'ffn.w3',
        # Before transformers 5.
        'attention.attention.query': ('attn.qkv', 0, 3),
        'attention.attention.key': ('attn.qkv', 1, 3),
        'attention.attention.value': ('attn.qkv', 2, 3), 'attention.output.dense': 'attn.proj',
        'intermediate.dense': 'ffn.layers.0.0', 'output.dense': 'ffn.layers.1',
        'mlp.weights_in': 'ffn.w12', 'mlp.weights_out': 'ffn.w3',
    },
)  # fmt: skip
_LINEAR = re.compile(r'(.+)\.(weight|bias)')

_ONNX_CONSTANT = re.compile(r'onnx::.+|val_\d+|/.+|.+_output_\d+')

# Heads, decoders and tokens of pretraining, which no feature of a clean image passes through.
_NOT_OF_BACKBONE = re.compile(
    r'(head|heads|head_dist|rec_head|head_recons|dino_head|ibot_head|classification_head|fc|'
    r'fc_norm|decoder|projector|projection_head|predictor|prototypes|pooler|pre_logits|classifier|'
    r'neck|ln2)\.'
    r'|decoder_'
    r'|((embeddings\.)?mask_token|masked_embed|mask_embed)$'
)


def to_mmpretrain(
    weights: Mapping[str, Tensor], layout: str
) -> tuple[dict[str, Tensor], list[str], list[str]]:
    """Rename the weights of a vision transformer, and join those that mmpretrain keeps in one.

    Args:
        weights (Mapping[str, Tensor]): Names without the path to the network.
        layout (str): ``'mmpretrain'``, ``'timm'`` or ``'huggingface'``.

    Returns:
        tuple[dict[str, Tensor], list[str], list[str]]: The weights in mmpretrain's names; the
        names of known parts that are not of the backbone; the names that nothing is known of,
        and those whose other parts are missing.
    """
    found: dict[str, dict[int, str]] = {}
    num_parts: dict[str, int] = {}
    dropped, unknown = [], []
    for name in weights:
        part = _translate(name, layout)
        if part is not None:
            target, place, total = part
            num_parts[target] = total
            found.setdefault(target, {})[place] = name
        elif _NOT_OF_BACKBONE.match(name):
            dropped.append(name)
        else:
            unknown.append(name)
    renamed = {}
    for target, places in found.items():
        names = [places[place] for place in sorted(places)]
        if len(names) < num_parts[target]:
            unknown += [f'{name} without its fellows' for name in names]
        elif len(names) == 1:
            renamed[target] = weights[names[0]]
        else:
            renamed[target] = torch.cat([weights[name] for name in names])
    return _packed_swiglu(renamed), dropped, unknown


def is_onnx_constant(name: str) -> bool:
    """Whether an exporter of torch made up this name, for a constant that is no parameter."""
    return _ONNX_CONSTANT.fullmatch(name) is not None


def rejoin_positions(weights: dict[str, Tensor], content: Mapping[str, Tensor]) -> None:
    """Put the two parts together that Hugging Face models split their positions into in ONNX.

    Their code resizes the positions of the patches, and an exporter leaves the slices before that
    as two constants with names of its own.

    Args:
        weights (dict[str, Tensor]): Of a network in the names of Hugging Face; the positions are
            added where they are missing and the parts can be told.
        content (Mapping[str, Tensor]): All constants of the file.
    """
    name = 'embeddings.position_embeddings'
    token = weights.get('embeddings.cls_token')
    if name in weights or token is None:
        return
    parts = [
        value
        for key, value in content.items()
        if is_onnx_constant(key) and value.ndim == 3 and value.shape[::2] == token.shape[::2]
    ]
    parts.sort(key=lambda value: value.shape[1])
    if len(parts) == 2 and parts[0].shape[1] == 1:
        weights[name] = torch.cat(parts, dim=1)


def _translate(name: str, layout: str) -> Part | None:
    """The name of mmpretrain, and which part of it a weight is; None if it is not known."""
    layer = _LAYER[layout].fullmatch(name)
    if layer is None:
        return _lookup(name, _TOP[layout])
    part = _lookup(layer[2], _IN_LAYER[layout])
    return None if part is None else (f'layers.{layer[1]}.{part[0]}', *part[1:])


def _lookup(name: str, table: Table) -> Part | None:
    linear = _LINEAR.fullmatch(name)
    if name in table:
        ending = ''
    elif linear is not None and linear[1] in table:
        name, ending = linear[1], f'.{linear[2]}'
    else:
        return None
    part = table[name]
    target, place, num_parts = (part, 0, 1) if isinstance(part, str) else part
    return target + ending, place, num_parts


def _packed_swiglu(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """timm calls the layers of SwiGLU fc1 and fc2: then fc1 gives twice what fc2 takes."""
    first, second = 'ffn.layers.0.0', 'ffn.layers.1'
    renamed = {}
    for name, value in weights.items():
        layer = name.partition('ffn.')[0]
        wide, narrow = (weights.get(f'{layer}{part}.weight') for part in (first, second))
        if '.ffn.' in name and wide is not None and narrow is not None:
            if wide.ndim == narrow.ndim == 2 and len(wide) == 2 * narrow.shape[1]:
                name = name.replace(first, 'ffn.w12').replace(second, 'ffn.w3')
        renamed[name] = value
    return renamed
