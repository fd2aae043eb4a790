"""What a checkpoint says about its model beyond the shapes of the weights."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from reprlib import repr as shorten
from typing import Any

from ..errors import InputError
from .run_config import read_run_config

_LONGEST_TEXT = 100
_MOST_CHANNELS = 4096  # of hostile files; more than any sensor has
IMAGENET_MEAN = (123.675, 116.28, 103.53)
IMAGENET_STD = (58.395, 57.12, 57.375)

# Names in configurations of Hugging Face → activation layers of mmcv.
_TANH = dict(type='GELU', approximate='tanh')
_ACTIVATIONS = dict(
    gelu=dict(type='GELU'), gelu_new=_TANH, gelu_pytorch_tanh=_TANH, relu=dict(type='ReLU')
)
# Families of Hugging Face whose models are the plain vision transformer.
_HUGGINGFACE = dict(
    vit='ViT', vit_mae='ViT-MAE', vit_msn='ViT-MSN', dinov2='DINOv2',
    dinov2_with_registers='DINOv2 with registers',
)  # fmt: skip
# Named architectures of mmpretrain whose heads are not 64 channels wide.
_NAMED_HEADS = {
    's': 8, 'small': 8, 'h': 16, 'huge': 16, 'eva-g': 16, 'eva-giant': 16, 'mocov3-s': 12,
    'mocov3-small': 12,
}  # fmt: skip
_ROTARY_NAMES = ('dinov3', 'eva', 'rope')


@dataclass
class ModelMetadata:
    """What a checkpoint says; None where it is silent."""

    num_heads: int | None = None
    img_size: tuple[int, int] | None = None  # height and width that the positions are made for
    eps: float | None = None  # of the layer norms
    act_cfg: dict | None = None  # activation of the feed-forward layers, where it is not GELU
    antialias: bool = False  # whether its code resizes position embeddings with antialiasing
    mean: tuple[float, ...] | None = None  # of RGB, or the channels there are, of 0–255
    std: tuple[float, ...] | None = None  # likewise
    family: str | None = None  # for people

    def __post_init__(self) -> None:
        """Refuse what no model is built from.

        A registry imports and calls whatever name it is given, so that an activation which the
        file names freely would run code.
        """
        heads, eps, act = self.num_heads, self.eps, self.act_cfg
        if act is not None and act not in _ACTIVATIONS.values():
            raise _not_read(f'says that its activation is {shorten(act)}', _ACTIVATIONS)
        if act == _ACTIVATIONS['gelu']:
            self.act_cfg = None
        if heads is not None and (type(heads) is not int or heads < 1):
            raise InputError(f'says that it has {shorten(heads)} attention heads')
        if eps is not None and (type(eps) not in (int, float) or not 0 <= eps < 1):
            raise InputError(f'says that the eps of its norms is {shorten(eps)}')

    def __or__(self, other: ModelMetadata) -> ModelMetadata:
        """This, and what the other says where this is silent."""
        told = {name: value for name, value in vars(self).items() if value is not None}
        return replace(other, **told | dict(antialias=self.antialias or other.antialias))


def read_metadata(config: Mapping[str, Any] | None, content: Mapping[str, Any]) -> ModelMetadata:
    """Read the configuration that came with the weights.

    Args:
        config (Mapping, optional): See :class:`~mmc_plugin.checkpoints.Checkpoint`.
        content (Mapping): The checkpoint, for the ``meta`` where ``config`` is not given.

    Raises:
        ValueError: As the end of a sentence, if the model is not a plain vision transformer, or
            if what it says is of the wrong kind.
    """
    config = _mapping(config or content.get('meta'))
    if 'cfg' in config:
        return _of_run(read_run_config(config['cfg']))
    if 'hidden_size' in config or 'model_type' in config:
        return _of_huggingface(config)
    if 'architecture' in config or 'pretrained_cfg' in config:
        return _of_timm(config)
    return ModelMetadata()


def rotary(name: str) -> InputError:
    """The error of a model that this package does not read."""
    return InputError(
        f'is {name}, whose positions are rotary or relative: only models with a learned position '
        'embedding are read'
    )


def _not_read(what: str, read: Mapping[str, Any]) -> InputError:
    return InputError(f'{what}, which is not read: those that are, are {", ".join(read)}')


def _of_run(config: Mapping[str, Any]) -> ModelMetadata:
    model = _mapping(config.get('model'))
    backbone = _mapping(model.get('backbone'))
    arch = backbone.get('arch')
    images = _mapping(model.get('data_preprocessor') or config.get('data_preprocessor'))
    norm = _mapping(backbone.get('norm_cfg'))
    kind = model.get('type')
    return ModelMetadata(
        num_heads=_mapping(arch).get('num_heads') or _NAMED_HEADS.get(_text(arch)),
        img_size=_size(backbone.get('img_size')),
        eps=norm.get('eps', 1e-5) if norm else None,
        act_cfg=_mapping(backbone.get('layer_cfgs')).get('act_cfg'),
        mean=_of_channels(images.get('mean')),
        std=_of_channels(images.get('std')),
        antialias=bool(backbone.get('pos_antialias')),
        family=f'{kind} run' if isinstance(kind, str) else None,
    )


def _of_huggingface(config: Mapping[str, Any]) -> ModelMetadata:
    kind = _text(config.get('model_type'))
    if any(name in kind for name in _ROTARY_NAMES):
        raise rotary(kind)
    if kind and kind not in _HUGGINGFACE:
        raise _not_read(f'is a model of type {kind}', _HUGGINGFACE)
    activation = _text(config.get('hidden_act', 'gelu'))
    if activation not in _ACTIVATIONS and not config.get('use_swiglu_ffn'):
        raise _not_read(f'has the activation {activation}', _ACTIVATIONS)
    images = _mapping(config.get('preprocessor_config'))
    return ModelMetadata(
        num_heads=config.get('num_attention_heads'),
        img_size=_size(config.get('image_size')),
        eps=config.get('layer_norm_eps'),
        act_cfg=_ACTIVATIONS.get(activation),
        mean=_of_channels(images.get('image_mean'), 255),
        std=_of_channels(images.get('image_std'), 255),
        family=f'Hugging Face {_HUGGINGFACE[kind]}' if kind else None,
    )


def _of_timm(config: Mapping[str, Any]) -> ModelMetadata:
    name = _text(config.get('architecture'))
    if any(rotary_name in name for rotary_name in _ROTARY_NAMES):
        raise rotary(name)
    images = _mapping(config.get('pretrained_cfg')) or config
    size = images.get('input_size')
    return ModelMetadata(
        num_heads=config.get('num_heads'),
        img_size=_size(size[-2:]) if isinstance(size, Sequence) else None,
        antialias=True,
        mean=_of_channels(images.get('mean'), 255),
        std=_of_channels(images.get('std'), 255),
        family=f'timm {name}'.strip(),
    )


def _text(value: Any) -> str:
    """A text; the beginning of anything else, which may be without end."""
    if isinstance(value, str):
        return value[:_LONGEST_TEXT]
    return shorten(value) if value else ''


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _size(size: Any) -> tuple[int, int] | None:
    pair = (size, size) if isinstance(size, int) else size
    if isinstance(pair, Sequence) and len(pair) == 2 and all(isinstance(x, int) for x in pair):
        return pair[0], pair[1]
    return None


def _of_channels(values: Any, scale: float = 1.0) -> tuple[float, ...] | None:
    if not isinstance(values, Sequence) or not 1 <= len(values) <= _MOST_CHANNELS:
        return None
    if not all(type(value) in (int, float) and math.isfinite(value) for value in values):
        return None
    return tuple(round(float(value) * scale, 4) for value in values)
