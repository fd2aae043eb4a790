"""What is exported: a model, and all that other libraries want to know about it."""

from __future__ import annotations

import os.path as osp
from typing import Any

from mmengine.utils import to_2tuple
from torch import nn

from ...errors import InputError
from ..architecture import channels_of, square
from ..backbone import BackboneWeights

# Settings that a configuration names only where they differ from mmpretrain's own.
_DEFAULTS = dict(
    qkv_bias=True, final_norm=True, layer_scale_init_value=0.0, patch_cfg=dict(bias=True),
    layer_cfgs={}, num_registers=0, pos_antialias=False,
)  # fmt: skip


class ExportedBackbone:
    """A vision transformer to be exported.

    Args:
        model (PretrainedViT): As :func:`~mmc_plugin.apis.load_backbone` returns it.
        sha256 (str): Hash of the checkpoint that it comes from.

    Attributes:
        model (PretrainedViT): On the CPU, in evaluation mode; ``weights`` in mmpretrain's names.
        settings (dict): Its keyword arguments, with its own image size.
        size, patch_size (tuple[int, int]): Height and width in pixels.
        channels (int): Of the images.
        hidden (int): Channels inside the feed-forward layers.
        activation (str): ``'gelu'``, ``'gelu_tanh'``, ``'relu'`` or, for SwiGLU, ``'silu'``.
        source (str): Name of the checkpoint, without its folder.

    Raises:
        ValueError: If the model comes from elsewhere, and so does not know its source, or if
            patches do not fill its images.
    """

    def __init__(self, model: nn.Module, sha256: str) -> None:
        origin = getattr(model, 'source', None)
        if not isinstance(origin, BackboneWeights):
            raise InputError(
                'only what load_backbone returns can be exported: load the model with it'
            )
        if model.pos_offset:
            raise InputError(
                f'other libraries have no pos_offset={model.pos_offset}: export the model without'
            )
        self.model = model.cpu().eval()
        self.weights = {name: value.detach() for name, value in model.state_dict().items()}
        self.size = height, width = to_2tuple(model.img_size)
        self.patch_size = rows, columns = to_2tuple(origin.settings['patch_size'])
        if height % rows or width % columns:
            raise InputError(
                f'the image size {height}×{width} is no multiple of the patch size '
                f'{rows}×{columns}: choose another with --img-size'
            )
        self.settings = {**origin.settings, 'img_size': square(height, width)}
        self.arch: dict[str, int] = self.settings['arch']
        self.channels = channels_of(self.settings)
        self.registers: int = self.settings['num_registers']
        self.layer_scale = bool(self.settings['layer_scale_init_value'])
        self.swiglu = self.settings['layer_cfgs'].get('ffn_type') == 'swiglu_fused'
        name = 'ffn.w3.weight' if self.swiglu else 'ffn.layers.1.weight'
        self.hidden = self.weights[f'layers.0.{name}'].shape[1]
        act = self.settings['layer_cfgs'].get('act_cfg', dict(type='GELU'))
        suffix = '_tanh' if act.get('approximate') == 'tanh' else ''
        self.activation = 'silu' if self.swiglu else act['type'].lower() + suffix
        self.eps: float = self.settings['norm_cfg']['eps']
        self.mean, self.std, self.format = tuple(origin.mean), tuple(origin.std), origin.format
        online = origin.path.startswith(('timm:', 'hf:'))
        self.source = origin.path if online else osp.basename(osp.normpath(origin.path))
        self.sha256 = sha256

    def config(self, kind: str = 'PretrainedViT', antialias: bool | None = None) -> dict[str, Any]:
        """The backbone in a configuration of mmpretrain, where it differs from the defaults.

        Args:
            kind (str): ``'VisionTransformer'``, or ``'PretrainedViT'`` for all that it has more.
            antialias (bool, optional): Of the exported model's positions, if not as here.
        """
        antialias = self.model.pos_antialias if antialias is None else antialias
        settings = self.settings | dict(pos_antialias=antialias and kind == 'PretrainedViT')
        told = {name: each for name, each in settings.items() if each != _DEFAULTS.get(name)}
        return dict(type=kind, **told)

    def run_config(self, kind: str = 'PretrainedViT', antialias: bool | None = None) -> str:
        """Text of a configuration that :func:`~mmc_plugin.apis.load_backbone` understands."""
        model = dict(backbone=self.config(kind, antialias), data_preprocessor=self.images)
        return f'model = {as_code(model)}\n'

    @property
    def images(self) -> dict[str, Any]:
        """How images are normalised, as a ``data_preprocessor`` says it."""
        return dict(mean=list(self.mean), std=list(self.std), to_rgb=self.channels == 3)

    def metadata(self) -> dict[str, str]:
        """What files with room for texts say."""
        return dict(cfg=self.run_config(), source=self.source, source_sha256=self.sha256)

    def example(self, imports: str, model: str, tokens: str = '', registers: int = 0) -> str:
        """Python for a :class:`Usage`, from what makes the model and what gives its tokens."""
        images = 'torch.rand(1, {}, {}, {})'.format(self.channels, *self.size)
        call = f'{tokens}\ncls, patches = tokens[:, 0], tokens[:, {1 + registers}:]'
        if not tokens:
            call = 'cls, patches = model(images)'
        return f'import torch\n{imports}images = {images}\n{model}\n{call}\n'

    def resizing(self, library: str, antialias: bool) -> str:
        """A sentence on what a library, which has antialiasing or not, makes of other sizes."""
        height, width = self.size
        if antialias == self.model.pos_antialias:
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
