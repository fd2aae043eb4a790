"""Names of a vision transformer's weights in mmpretrain, timm and Hugging Face, both ways.

The self-supervised releases (DINO, iBOT, MAE, MSN, MoCo-v3, SiT, MC-SSL, GMML, DINOv2) all use
timm's names, with additions of their own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor

# Several names stand for the parts of what mmpretrain keeps in one matrix, in their order.
_Names = str | tuple[str, ...] | None
_QKV = tuple(f'.attention.attention.{part}' for part in ('query', 'key', 'value'))
_QKV_5 = tuple(f'.attention.{part}_proj' for part in 'qkv')
_SWIGLU_5 = ('.mlp.gate_proj', '.mlp.up_proj')
_POSITIONS = 'embeddings.position_embeddings'
_PATCHES = 'embeddings.patch_embeddings.projection'
# mmpretrain's name: that of timm, of DINOv2's release where it is another, of ViT and of DINOv2 in
# transformers before 5, and of both since 5 where it is another. A dot leads names in a layer.
_TABLE: dict[str, tuple[_Names, ...]] = {
    'cls_token': ('cls_token', None, 'embeddings.cls_token', 'embeddings.cls_token', None),
    'pos_embed': ('pos_embed', None, _POSITIONS, _POSITIONS, None),
    'registers': ('reg_token', 'register_tokens', None, 'embeddings.register_tokens', None),
    'patch_embed.projection': ('patch_embed.proj', None, _PATCHES, _PATCHES, None),
    'ln1': ('norm', None, 'layernorm', 'layernorm', None),
    '.ln1': ('.norm1', None, '.layernorm_before', '.norm1', None),
    '.attn.qkv': ('.attn.qkv', None, _QKV, _QKV, _QKV_5),
    '.attn.proj': ('.attn.proj', None, *['.attention.output.dense'] * 2, '.attention.o_proj'),
    '.attn.gamma1.weight': ('.ls1.gamma', None, None, '.layer_scale1.lambda1', None),
    '.ln2': ('.norm2', None, '.layernorm_after', '.norm2', None),
    '.ffn.layers.0.0': ('.mlp.fc1', None, '.intermediate.dense', '.mlp.fc1', None),
    '.ffn.layers.1': ('.mlp.fc2', None, '.output.dense', '.mlp.fc2', None),
    '.ffn.w12': ('.mlp.fc1', '.mlp.w12', None, '.mlp.weights_in', _SWIGLU_5),
    '.ffn.w3': ('.mlp.fc2', '.mlp.w3', None, '.mlp.weights_out', '.mlp.down_proj'),
    '.ffn.gamma2.weight': ('.ls2.gamma', None, None, '.layer_scale2.lambda1', None),
}
_READ = dict(mmpretrain=(), timm=(0, 1), huggingface=(2, 3, 4))  # columns of a layout
_WRITTEN = dict(timm=('blocks', 0), vit=('encoder.layer', 2), dinov2=('encoder.layer', 3))
# DINOv2 may keep its blocks in chunks: blocks.<chunk>.<layer>, the layer counted over all chunks.
_LAYER = dict(
    mmpretrain=re.compile(r'layers\.(\d+)(\..+)'),
    timm=re.compile(r'blocks\.(?:\d+\.)?(\d+)(\..+)'),
    huggingface=re.compile(r'(?:encoder\.)?layers?\.(\d+)(\..+)'),
)
# Heads, decoders and tokens of pretraining, which no feature of a clean image passes through.
_NOT_OF_BACKBONE = re.compile(
    r'(head|heads|head_dist|rec_head|head_recons|dino_head|ibot_head|classification_head|fc|'
    r'fc_norm|decoder|projector|projection_head|predictor|prototypes|pooler|pre_logits|classifier|'
    r'neck|ln2)\.'
    r'|decoder_'
    r'|((embeddings\.)?mask_token|masked_embed|mask_embed)$'
)


def _inverse(columns: tuple[int, ...]) -> dict[str, tuple[str, int, int]]:
    """Name in a file → mmpretrain's name, which part of it the weight is, and of how many."""
    table: dict[str, tuple[str, int, int]] = {}
    for own, row in _TABLE.items():
        for names in [row[column] for column in columns] or [own]:
            names = (names,) if isinstance(names, str) else names or ()
            for place, name in enumerate(names):
                table.setdefault(name, (own, place, len(names)))
    return table


_INVERSE = {layout: _inverse(columns) for layout, columns in _READ.items()}
# Layout → the weight that tells it, which each vision transformer has once.
PATCH_EMBEDDINGS = {
    layout: f'{name}.weight'
    for layout, table in _INVERSE.items()
    for name, (own, _, _) in table.items()
    if own == 'patch_embed.projection'
}


def to_mmpretrain(
    weights: Mapping[str, Tensor], layout: str
) -> tuple[dict[str, Tensor], list[str], list[str]]:
    """Rename the weights of a vision transformer, and join those that mmpretrain keeps in one.

    Args:
        weights (Mapping[str, Tensor]): Names without the path to the network.
        layout (str): A key of :data:`PATCH_EMBEDDINGS`.

    Returns:
        tuple[dict[str, Tensor], list[str], list[str]]: The weights in mmpretrain's names; the
        names of known parts that are not of the backbone; the names that nothing is known of,
        and those whose other parts are missing.
    """
    found: dict[str, list[str | None]] = {}
    dropped, unknown = [], []
    for name in weights:
        path, stem, ending = _split(name, layout, 'layers', _INVERSE[layout])
        if stem is not None:
            target, place, parts = _INVERSE[layout][stem]
            found.setdefault(path + target + ending, [None] * parts)[place] = name
        else:
            (dropped if _NOT_OF_BACKBONE.match(name) else unknown).append(name)
    renamed = {}
    for target, names in found.items():
        if None in names:
            unknown += [f'{name} without its fellows' for name in names if name is not None]
        else:
            parts = [weights[name] for name in names]
            renamed[target] = parts[0] if len(parts) == 1 else torch.cat(parts)
    return _packed_swiglu(renamed), dropped, unknown


def from_mmpretrain(weights: Mapping[str, Tensor], library: str) -> dict[str, Tensor]:
    """Rename weights for another library, and split what it keeps in several parts.

    Args:
        weights (Mapping[str, Tensor]): In the names of mmpretrain.
        library (str): ``'timm'``; ``'vit'`` for ``ViTModel`` of transformers before 5, or
            ``'dinov2'`` for its ``Dinov2Model`` and ``Dinov2WithRegistersModel``.

    Returns:
        dict[str, Tensor]: No two of them share memory.

    Raises:
        KeyError: If the library has no place for one of them.
    """
    blocks, column = _WRITTEN[library]
    renamed = {}
    for name, value in weights.items():
        path, stem, ending = _split(name, 'mmpretrain', blocks, _TABLE)
        names = None if stem is None else _TABLE[stem][column]
        if names is None:
            raise KeyError(name)
        if isinstance(names, str):
            renamed[path + names + ending] = value
        else:
            for part, piece in zip(names, value.chunk(len(names))):
                renamed[path + part + ending] = piece.clone()
    return renamed


def _split(
    name: str, layout: str, blocks: str, table: Mapping[str, object]
) -> tuple[str, str | None, str]:
    """Path of the layer under ``blocks``, name in the table if it is there, and what follows it."""
    path, layer = '', _LAYER[layout].fullmatch(name)
    if layer is not None:
        path, name = f'{blocks}.{layer[1]}', layer[2]
    stem, dot, ending = name.rpartition('.')
    if name in table:
        return path, name, ''
    if stem in table and ending in ('weight', 'bias'):
        return path, stem, dot + ending
    return path, None, ''


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
