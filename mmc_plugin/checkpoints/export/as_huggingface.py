"""A folder as ``save_pretrained`` of transformers writes it."""

from __future__ import annotations

import os

import torch

from ...errors import InputError, MissingPackageError, needing
from ..names import from_mmpretrain
from .card import Usage
from .exported_backbone import ExportedBackbone, ratio

_ACTIVATIONS = dict(gelu='gelu', gelu_tanh='gelu_pytorch_tanh', relu='relu', silu='silu')
_BICUBIC = 3  # of Pillow


def write(backbone: ExportedBackbone, path: str) -> Usage:
    """Write a ``ViTModel``, or a DINOv2 model where LayerScale, SwiGLU or registers need it.

    Raises:
        ImportError: If transformers is not installed.
        ValueError: If patches or images are not square, or there is no final norm.
    """
    with needing('install "transformers<5" to export to Hugging Face'):
        import transformers
    _check(backbone)
    dinov2 = bool(backbone.layer_scale or backbone.swiglu or backbone.registers)
    kind = 'Dinov2' if dinov2 else 'ViT'
    kind += 'WithRegisters' if backbone.registers else ''
    if not hasattr(transformers, f'{kind}Model'):
        raise MissingPackageError(f'install a newer transformers: this one has no {kind}Model')
    config = getattr(transformers, f'{kind}Config')(**_config(backbone, dinov2))
    options = {} if dinov2 else dict(add_pooling_layer=False)
    with torch.device('meta'):  # no memory is taken and nothing drawn
        model = getattr(transformers, f'{kind}Model')(config, **options)
    weights = from_mmpretrain(_complete(backbone, dinov2), 'dinov2' if dinov2 else 'vit')
    if 'embeddings.mask_token' in model.state_dict():
        weights['embeddings.mask_token'] = torch.zeros(1, backbone.arch['embed_dims'])
    model.load_state_dict(weights, strict=True, assign=True)
    os.mkdir(path)
    model.save_pretrained(path)
    transformers.ViTImageProcessor(
        size=dict(zip(('height', 'width'), backbone.size)),
        resample=_BICUBIC,
        image_mean=[value / 255 for value in backbone.mean],
        image_std=[value / 255 for value in backbone.std],
    ).save_pretrained(path)
    loading = '' if dinov2 else ', add_pooling_layer=False'
    resizing = '' if dinov2 else ', interpolate_pos_encoding=True'
    pooler = '; there is no pooler: `pooler_output` of a model with one would be of random weights'
    return Usage(
        title=f"a folder of Hugging Face's transformers ({kind}Model)",
        code=backbone.example(
            f'from transformers import {kind}Model\n',
            f"model = {kind}Model.from_pretrained('.'{loading}).eval()",
            f'tokens = model(images{resizing}).last_hidden_state',
            backbone.registers,
        ),
        notes=[
            backbone.resizing('transformers', antialias=bool(backbone.registers)),
            f'Features are the last hidden state{"" if dinov2 else pooler}.',
        ],
        tags=dict(library_name='transformers', pipeline_tag='image-feature-extraction'),
    )


def _check(backbone: ExportedBackbone) -> None:
    (height, width), (rows, columns) = backbone.size, backbone.patch_size
    reason = ''
    if rows != columns:
        reason = f'has square patches, not {rows}×{columns}: '
    elif height != width:
        reason = f'takes positions of square images only, not {height}×{width}: add --img-size '
        reason += f'{max(height, width)}, or '
    elif not backbone.settings['final_norm']:
        reason = 'has a final norm and this model none: '
    if reason:
        raise InputError(f"transformers' ViT {reason}export to timm")


def _config(backbone: ExportedBackbone, dinov2: bool) -> dict:
    arch, width = backbone.arch, backbone.arch['embed_dims']
    config = dict(
        hidden_size=width,
        num_hidden_layers=arch['num_layers'],
        num_attention_heads=arch['num_heads'],
        hidden_act=_ACTIVATIONS[backbone.activation],
        layer_norm_eps=backbone.eps,
        image_size=backbone.size[0],
        patch_size=backbone.patch_size[0],
        num_channels=backbone.channels,
        qkv_bias=backbone.settings['qkv_bias'],
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    if not dinov2:
        return config | dict(intermediate_size=backbone.hidden)
    config['mlp_ratio'] = ratio(arch['feedforward_channels'], width)
    config['use_swiglu_ffn'] = backbone.swiglu
    if backbone.registers:
        config['num_register_tokens'] = backbone.registers
    return config


def _complete(backbone: ExportedBackbone, dinov2: bool) -> dict[str, torch.Tensor]:
    """The weights, with ones and zeros where the target has a parameter and the model none."""
    weights = dict(backbone.weights)
    projection = weights['patch_embed.projection.weight']
    weights.setdefault('patch_embed.projection.bias', projection.new_zeros(len(projection)))
    if dinov2 and not backbone.layer_scale:
        for layer in range(backbone.arch['num_layers']):
            for name in ('attn.gamma1.weight', 'ffn.gamma2.weight'):
                weights[f'layers.{layer}.{name}'] = torch.ones(len(projection))
    return weights
