"""What is exported: a model, and all that other libraries want to know about it."""

from __future__ import annotations

import os.path as osp
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from ..backbone import BackboneWeights

_ONLINE = ('timm:', 'hf:')


@dataclass
class Subject:
    """A vision transformer to be exported.

    Args:
        model (PretrainedViT): On the CPU, in evaluation mode.
        settings (dict): Its keyword arguments, with its own image size.
        mean (tuple[float, ...]): Of images, RGB on the scale 0–255.
        std (tuple[float, ...]): Likewise.
        source (str): Name of the checkpoint that it comes from, without its folder.
        format (str): What that checkpoint is.
        sha256 (str): Its hash.
    """

    model: nn.Module = field(repr=False)
    settings: dict[str, Any]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    source: str
    format: str
    sha256: str

    @classmethod
    def of(cls, model: nn.Module, sha256: str) -> Subject:
        """Describe a model that :func:`~mmc_plugin.apis.load_backbone` returned.

        Raises:
            ValueError: If it comes from elsewhere, and so does not know its source, or if
                patches do not fill its images.
        """
        source = getattr(model, 'source', None)
        if not isinstance(source, BackboneWeights):
            raise ValueError('only what load_backbone returns can be exported')
        height, width = model.img_size
        patch = _pair(source.settings['patch_size'])
        if height % patch[0] or width % patch[1]:
            raise ValueError(
                f'the image size {height}×{width} is no multiple of the patch size '
                f'{patch[0]}×{patch[1]}: choose another with --img-size'
            )
        path = source.path
        return cls(
            model=model.cpu().eval(),
            settings={**source.settings, 'img_size': height if height == width else model.img_size},
            mean=tuple(source.mean),
            std=tuple(source.std),
            source=path if path.startswith(_ONLINE) else osp.basename(osp.normpath(path)),
            format=source.format,
            sha256=sha256,
        )

    @property
    def weights(self) -> dict[str, Tensor]:
        """Name in mmpretrain → weight."""
        return {name: value.detach() for name, value in self.model.state_dict().items()}

    @property
    def arch(self) -> dict[str, int]:
        """``embed_dims``, ``num_layers``, ``num_heads`` and ``feedforward_channels``."""
        return self.settings['arch']

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the images that the positions are made for."""
        return _pair(self.settings['img_size'])

    @property
    def patch_size(self) -> tuple[int, int]:
        """Height and width of a patch."""
        return _pair(self.settings['patch_size'])

    @property
    def registers(self) -> int:
        """Number of register tokens."""
        return self.settings['num_registers']

    @property
    def layer_scale(self) -> bool:
        """Whether the layers scale what they add, channel by channel."""
        return bool(self.settings['layer_scale_init_value'])

    @property
    def swiglu(self) -> bool:
        """Whether the feed-forward layers are SwiGLU."""
        return self.settings['layer_cfgs'].get('ffn_type') == 'swiglu_fused'

    @property
    def hidden(self) -> int:
        """Channels inside the feed-forward layers."""
        name = 'ffn.w3.weight' if self.swiglu else 'ffn.layers.1.weight'
        return self.weights[f'layers.0.{name}'].shape[1]

    @property
    def activation(self) -> str:
        """Of the feed-forward layers: ``'gelu'``, ``'gelu_tanh'``, ``'relu'`` or ``'silu'``."""
        if self.swiglu:
            return 'silu'
        config = self.settings['layer_cfgs'].get('act_cfg', dict(type='GELU'))
        suffix = '_tanh' if config.get('approximate') == 'tanh' else ''
        return config['type'].lower() + suffix

    @property
    def eps(self) -> float:
        """Of the layer norms."""
        return self.settings['norm_cfg']['eps']

    @property
    def antialias(self) -> bool:
        """Whether positions are resized with antialiasing."""
        return self.model.pos_antialias

    def config(
        self, kind: str = 'VisionTransformer', antialias: bool | None = None
    ) -> dict[str, Any]:
        """The backbone in a configuration of mmpretrain, where it differs from the defaults.

        Args:
            kind (str): ``'VisionTransformer'``, or ``'PretrainedViT'`` for all that it has more.
            antialias (bool, optional): How the exported model resizes positions; by default as
                this one does.
        """
        settings = self.settings
        config = dict(
            type=kind,
            arch=dict(self.arch),
            img_size=settings['img_size'],
            patch_size=settings['patch_size'],
        )
        if kind == 'PretrainedViT' and self.registers:
            config['num_registers'] = self.registers
        if kind == 'PretrainedViT' and (self.antialias if antialias is None else antialias):
            config['pos_antialias'] = True
        if not settings['qkv_bias']:
            config['qkv_bias'] = False
        if not settings['final_norm']:
            config['final_norm'] = False
        if self.layer_scale:
            config['layer_scale_init_value'] = settings['layer_scale_init_value']
        config['norm_cfg'] = dict(settings['norm_cfg'])
        if not settings['patch_cfg']['bias']:
            config['patch_cfg'] = dict(bias=False)
        if settings['layer_cfgs']:
            config['layer_cfgs'] = dict(settings['layer_cfgs'])
        return config

    def run_config(self, kind: str = 'PretrainedViT', antialias: bool | None = None) -> str:
        """Text of a configuration that :func:`~mmc_plugin.apis.load_backbone` understands.

        Args:
            kind (str): See :meth:`config`.
            antialias (bool, optional): Likewise.
        """
        images = dict(mean=list(self.mean), std=list(self.std), to_rgb=True)
        model = dict(backbone=self.config(kind, antialias), data_preprocessor=images)
        return f'model = {as_code(model)}\n'

    def resizing(self, library: str, antialias: bool) -> str:
        """A sentence on what a library makes of other image sizes.

        Args:
            library (str): Its name.
            antialias (bool): Whether it resizes positions with antialiasing.
        """
        height, width = self.size
        if antialias == self.antialias:
            return (
                f'Images of other sizes than {height}×{width} may be given: {library} resizes the '
                'positions as the source does.'
            )
        how = 'with' if antialias else 'without'
        return (
            f'At other sizes than {height}×{width} {library} resizes the positions {how} '
            f'antialiasing, unlike the source, and features differ slightly from its own; '
            'exported with `--img-size` for that size they do not.'
        )


def zeros_for(weight: Tensor) -> Tensor:
    """A bias of zeros for the output channels of a weight."""
    return torch.zeros(len(weight), dtype=weight.dtype)


def ratio(hidden: int, width: int) -> int | float:
    """A factor whose product with ``width``, rounded down, is ``hidden``."""
    if hidden % width == 0:
        return hidden // width
    factor = hidden / width
    return factor if int(width * factor) == hidden else (hidden + 0.5) / width


def as_code(value: Any) -> str:
    """Python for nested dictionaries with names as keys, in the style of configurations."""
    if isinstance(value, dict) and all(str(key).isidentifier() for key in value):
        return f'dict({", ".join(f"{key}={as_code(each)}" for key, each in value.items())})'
    if isinstance(value, list):
        return f'[{", ".join(map(as_code, value))}]'
    return repr(value)


def _pair(size: int | tuple[int, int]) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else tuple(size)
