"""A folder as ``save_pretrained`` of transformers writes it."""

from __future__ import annotations

import os

import torch

from .guide import Guide
from .names import to_huggingface
from .subject import Subject, ratio, zeros_for

_ACTIVATIONS = dict(gelu='gelu', gelu_tanh='gelu_pytorch_tanh', relu='relu', silu='silu')
_BICUBIC = 3  # of Pillow


def write(subject: Subject, path: str) -> Guide:
    """Write a ``ViTModel``, or a DINOv2 model where LayerScale, SwiGLU or registers need it.

    Args:
        subject (Subject): With square patches, a square grid and a final norm.
        path (str): Folder to write.

    Raises:
        ImportError: If transformers is not installed.
        ValueError: If the model has what none of the three has.
    """
    try:
        import transformers
    except ImportError:
        raise ImportError('install "transformers<5" to export to Hugging Face') from None
    _check(subject)
    dinov2 = bool(subject.layer_scale or subject.swiglu or subject.registers)
    kind = 'ViT'
    if dinov2:
        kind = 'Dinov2WithRegisters' if subject.registers else 'Dinov2'
    if not hasattr(transformers, f'{kind}Model'):
        raise ImportError(f'install a newer transformers: this one has no {kind}Model')
    config = getattr(transformers, f'{kind}Config')(**_config(subject, dinov2))
    options = {} if dinov2 else dict(add_pooling_layer=False)
    with torch.device('meta'):  # no memory is taken and nothing drawn
        model = getattr(transformers, f'{kind}Model')(config, **options)
    weights = to_huggingface(_complete(subject, dinov2), dinov2)
    if 'embeddings.mask_token' in model.state_dict():
        weights['embeddings.mask_token'] = torch.zeros(1, subject.arch['embed_dims'])
    model.load_state_dict(weights, strict=True, assign=True)
    os.mkdir(path)
    model.save_pretrained(path)
    height, width = subject.size
    transformers.ViTImageProcessor(
        size=dict(height=height, width=width),
        resample=_BICUBIC,
        image_mean=[value / 255 for value in subject.mean],
        image_std=[value / 255 for value in subject.std],
    ).save_pretrained(path)
    loading = '' if dinov2 else ', add_pooling_layer=False'
    resizing = '' if dinov2 else ', interpolate_pos_encoding=True'
    return Guide(
        title=f"a folder of Hugging Face's transformers ({kind}Model)",
        code=f"""\
import torch
from transformers import {kind}Model
images = torch.rand(1, 3, {height}, {width})
model = {kind}Model.from_pretrained('.'{loading}).eval()
tokens = model(images{resizing}).last_hidden_state
cls, patches = tokens[:, 0], tokens[:, {1 + subject.registers}:]
""",
        notes=[
            subject.resizing('transformers', antialias=bool(subject.registers)),
            'Features are the last hidden state; there is no pooler, and `pooler_output` of a '
            'model with one would be of random weights.'
            if not dinov2
            else 'Features are the last hidden state.',
        ],
        tags=dict(library_name='transformers', pipeline_tag='image-feature-extraction'),
    )


def _check(subject: Subject) -> None:
    height, width = subject.size
    rows, columns = subject.patch_size
    if rows != columns:
        raise ValueError(
            f"transformers' ViT has square patches, not {rows}×{columns}: export to timm"
        )
    if height != width:
        raise ValueError(
            f"transformers' ViT takes positions of square images only, not {height}×{width}: "
            f'add --img-size {max(height, width)}, or export to timm'
        )
    if not subject.settings['final_norm']:
        raise ValueError("transformers' ViT has a final norm and this model none: export to timm")


def _config(subject: Subject, dinov2: bool) -> dict:
    arch, width = subject.arch, subject.arch['embed_dims']
    config = dict(
        hidden_size=width,
        num_hidden_layers=arch['num_layers'],
        num_attention_heads=arch['num_heads'],
        hidden_act=_ACTIVATIONS[subject.activation],
        layer_norm_eps=subject.eps,
        image_size=subject.size[0],
        patch_size=subject.patch_size[0],
        qkv_bias=subject.settings['qkv_bias'],
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    if not dinov2:
        return config | dict(intermediate_size=subject.hidden)
    config['mlp_ratio'] = ratio(arch['feedforward_channels'], width)
    config['use_swiglu_ffn'] = subject.swiglu
    if subject.registers:
        config['num_register_tokens'] = subject.registers
    return config


def _complete(subject: Subject, dinov2: bool) -> dict[str, torch.Tensor]:
    """The weights, with ones and zeros where the target has a parameter and the model none."""
    weights = subject.weights
    projection = weights['patch_embed.projection.weight']
    weights.setdefault('patch_embed.projection.bias', zeros_for(projection))
    if dinov2 and not subject.layer_scale:
        for layer in range(subject.arch['num_layers']):
            for name in ('attn.gamma1.weight', 'ffn.gamma2.weight'):
                weights[f'layers.{layer}.{name}'] = torch.ones(len(projection))
    return weights
