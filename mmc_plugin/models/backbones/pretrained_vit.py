"""A vision transformer with weights from a checkpoint of any known format."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
import torch.nn as nn
import torch.nn.functional as F
from mmengine.logging import print_log
from mmpretrain.models.backbones import VisionTransformer
from mmpretrain.registry import MODELS
from torch import Tensor

from ...checkpoints.architecture import grid, misfits, some
from ...checkpoints.backbone import BackboneWeights, read_backbone
from ...checkpoints.files import read_checkpoint
from ...errors import InputError


@MODELS.register_module()
class PretrainedViT(VisionTransformer):
    """mmpretrain's vision transformer that reads foreign weights, with register tokens.

    The weights are read by :func:`mmc_plugin.checkpoints.read_backbone`, which finds the format by
    itself. Registers ("Vision Transformers Need Registers", arXiv 2309.16588) follow the class
    token without a position and are taken off again: outputs have the same shapes as without.

    Images may have any height and width that the patch size divides; the position embedding is
    resized to them, bicubically. Antialiasing is off where the model's own code has it off
    (mmpretrain, DINO, Hugging Face ViT and DINOv2) and on where that has it on (timm, DINOv2 with
    registers), also when a grid shrinks: features stay those of the model's own code.

    Args:
        arch (str | dict): ``'auto'`` takes all that the checkpoint tells and reads it when the
            model is built. Else as in :class:`VisionTransformer`: then the checkpoint is read by
            :meth:`init_weights`, that is at the start of a training, and a trained model can be
            tested without it.
        checkpoint (str, optional): See :func:`mmc_plugin.checkpoints.read_backbone`. None for
            random weights.
        which (str): ``'teacher'`` or ``'student'``, where the checkpoint has both.
        num_heads (int, optional): With ``'auto'``, where the checkpoint does not tell the number
            of attention heads.
        allow_pickle (bool): Run the code in the checkpoint. Only for files that you trust.
        frozen (bool): No gradients, no training mode, no graph.
        num_registers (int): Register tokens.
        pos_antialias (bool): Resize the position embedding with antialiasing, as timm does.
        pos_offset (float): Tokens added to the rows and columns wanted when the position embedding
            is resized, which shifts it a little: 0.1 in the code of DINO, and of DINOv2 without
            registers. For their published scores at other sizes. Defaults to 0.
        out_type (str): ``'raw'`` (B, 1 + N, D) with the class token first, ``'cls_token'`` (B, D)
            or ``'featmap'`` (B, D, h, w). mmpretrain's ``'avg_featmap'`` has a norm of its own that
            no backbone brings, and is refused.
        out_indices (int | Sequence[int]): Layers to return, from 0; negative ones count from the
            end. The last is normalised, if ``final_norm`` and ``norm_last``.
        norm_last (bool): With False the last layer is returned as it is, as the others are; the
            weights of the norm have their place all the same. Defaults to True.
        **kwargs: Of :class:`VisionTransformer`. With ``'auto'`` they precede what the checkpoint
            tells, as far as its weights can be fitted to that.

    Raises:
        ValueError: If the checkpoint does not fit.
    """

    OUT_TYPES = {'raw', 'cls_token', 'featmap'}
    hides_patches = True  # forward() takes masked and keep

    def __init__(
        self,
        arch: str | dict = 'auto',
        checkpoint: str | None = None,
        which: str = 'teacher',
        num_heads: int | None = None,
        allow_pickle: bool = False,
        frozen: bool = True,
        num_registers: int = 0,
        pos_antialias: bool = False,
        pos_offset: float = 0.0,
        out_type: str = 'cls_token',
        out_indices: int | Sequence[int] = -1,
        norm_last: bool = True,
        **kwargs: Any,
    ) -> None:
        weights = None
        if arch == 'auto':
            if checkpoint is None:
                raise InputError("PretrainedViT needs a checkpoint with arch='auto'.")
            weights = _read(checkpoint, which, num_heads, allow_pickle)
            kwargs = weights.settings | kwargs
            arch = kwargs.pop('arch')
            num_registers = kwargs.pop('num_registers')
            pos_antialias = kwargs.pop('pos_antialias', pos_antialias)
        # mmpretrain pads what the patch size does not divide, and the tokens would no longer lie
        # where the pixels are: such sizes are an error here, see forward().
        kwargs['patch_cfg'] = dict(padding=0) | dict(kwargs.get('patch_cfg') or {})
        num_layers = _num_layers(arch)
        super().__init__(
            arch=arch,
            out_type=out_type,
            out_indices=_check_indices(out_indices, num_layers),
            **kwargs,
        )
        self.source: BackboneWeights | None = None  # what load() took over, without its tensors
        layers = kwargs.get('layer_cfgs') or {}
        layers = layers if isinstance(layers, dict) else layers[0]
        self._activation = dict(layers.get('act_cfg', dict(type='GELU')))
        self.checkpoint = checkpoint
        self.which = which
        self.allow_pickle = allow_pickle
        self.frozen = frozen
        self.norm_last = norm_last
        self.pos_antialias = pos_antialias
        if not 0 <= pos_offset < 1:
            raise InputError(f'pos_offset must lie in [0, 1), got {pos_offset}.')
        self.pos_offset = pos_offset
        self.registers = None
        if num_registers:
            self.registers = nn.Parameter(torch.zeros(1, num_registers, self.embed_dims))
        if frozen:
            self.requires_grad_(False)
            self.eval()
        if weights is not None:
            self.load(weights)

    def init_weights(self) -> None:
        """Read the checkpoint; without one, draw random weights as mmpretrain does."""
        if self.checkpoint is None:
            super().init_weights()
            if self.registers is not None:
                nn.init.normal_(self.registers, std=1e-6)
            return
        if self.source is None:  # else, with arch='auto', the weights are there already
            heads = self.arch_settings['num_heads']
            self.load(_read(self.checkpoint, self.which, heads, self.allow_pickle))
        self._is_init = True

    def load(self, weights: BackboneWeights) -> None:
        """Take weights over; the position embedding is resized to :attr:`img_size`.

        A patch embedding for RGB is adapted to other ``in_channels`` (:func:`adapt_channels`).

        Parameters on the meta device become the given tensors themselves, without a copy.

        Args:
            weights (BackboneWeights): As :func:`read_backbone` returns them.

        Raises:
            ValueError: That lists what is missing, unexpected and of the wrong shape.
        """
        state = dict(weights.state_dict)
        name = 'patch_embed.projection.weight'
        state[name] = adapt_channels(state[name], self.patch_embed.projection.in_channels)
        state['pos_embed'] = self._resized(
            state['pos_embed'], grid(weights.settings), self.patch_resolution
        )
        own = self.state_dict()
        wrong = misfits(state, {name: tuple(value.shape) for name, value in own.items()})
        if wrong:
            raise InputError(
                f'The backbone does not fit the checkpoint, {weights}. Weights {"; ".join(wrong)}.'
            )
        self._check_settings(weights.settings)
        self.load_state_dict(state, assign=self.pos_embed.is_meta)
        self.source = replace(weights, state_dict={})

    def _check_settings(self, settings: dict) -> None:
        """Refuse or mention what the shapes of the weights do not tell."""
        activation = settings['layer_cfgs'].get('act_cfg', dict(type='GELU'))
        if 'ffn_type' not in settings['layer_cfgs'] and self._activation != activation:
            raise InputError(
                f'The checkpoint has the activation {activation} and the backbone '
                f'{self._activation}: set layer_cfgs=dict(act_cfg={activation}).'
            )
        pairs = dict(
            norm_cfg=(settings['norm_cfg']['eps'], self.layers[0].ln1.eps),
            pos_antialias=(settings.get('pos_antialias', False), self.pos_antialias),
        )
        for name, (told, own) in pairs.items():
            if told != own:
                print_log(
                    f'The checkpoint was trained with {told} in {name} and runs with {own}: '
                    'features differ slightly from those of its own code.',
                    logger='current',
                    level=logging.WARNING,
                )

    def train(self, mode: bool = True) -> PretrainedViT:
        """Set the training mode; a frozen model stays in evaluation mode."""
        super().train(mode and not self.frozen)
        return self

    def forward(
        self,
        x: Tensor,
        masked: Tensor | None = None,
        mask_token: Tensor | None = None,
        keep: Tensor | None = None,
    ) -> tuple[Tensor, ...]:
        """Features of normalised images.

        Args:
            x (Tensor): (B, C, H, W).
            masked (Tensor, optional): (B, N) bool, patches whose embedding is replaced by the
                ``mask_token``, before the positions are added (BEiT, iBOT).
            mask_token (Tensor, optional): (1, D).
            keep (Tensor, optional): (M, ) int64, the patches that are left after the positions have
                been added (MSN); outputs have M patch tokens, in this order.

        Returns:
            tuple[Tensor, ...]: For each of ``out_indices`` one of the shape that ``out_type`` says.

        Raises:
            ValueError: If the patch size does not divide the height or the width, or the images
                have other channels.
        """
        if not (torch.jit.is_tracing() or torch.compiler.is_compiling()):
            self._check_size(x)
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            return self._encode(x, masked, mask_token, keep)

    def get_layer_depth(self, param_name: str, prefix: str = '') -> tuple[int, int]:
        """Depth of a parameter for layer-wise decay, and the number of depths.

        The host gives what it does not know the depth of the head; the registers and the norm
        before the layers belong to the input, of depth 0.
        """
        name = param_name.removeprefix(prefix)
        if param_name.startswith(prefix) and name.startswith(('registers', 'pre_norm')):
            return 0, self.num_layers + 2
        return super().get_layer_depth(param_name, prefix)

    def _encode(
        self, x: Tensor, masked: Tensor | None, mask_token: Tensor | None, keep: Tensor | None
    ) -> tuple[Tensor, ...]:
        x, size = self.patch_embed(x)  # (B,N,D)
        if masked is not None:
            x = torch.where(masked[..., None], mask_token.to(x.dtype), x)
        x = torch.cat([self.cls_token.expand(len(x), -1, -1), x], dim=1)  # (B,1+N,D)
        x = x + self._resized(self.pos_embed, self.patch_resolution, size)
        if keep is not None:
            x = torch.cat([x[:, :1], x[:, 1:][:, keep]], dim=1)  # (B,1+M,D)
        if self.registers is not None:
            registers = self.registers.expand(len(x), -1, -1)
            x = torch.cat([x[:, :1], registers, x[:, 1:]], dim=1)  # (B,1+R+N,D)
        x = self.pre_norm(self.drop_after_pos(x))
        outputs = []
        for index in range(max(self.out_indices) + 1):
            x = self._layer(index, x, size)
            if index == self.num_layers - 1 and self.final_norm and self.norm_last:
                x = self.ln1(x)
            if index in self.out_indices:
                tokens = x
                if self.registers is not None:
                    patches = x[:, 1 + self.registers.shape[1] :]
                    tokens = torch.cat([x[:, :1], patches], dim=1)  # (B,1+N,D)
                outputs.append(self._format_output(tokens, size))
        return tuple(outputs)

    def _layer(self, index: int, x: Tensor, size: Sequence[int]) -> Tensor:
        """Tokens (B, 1 + R + N, D) of a grid after a layer."""
        return self.layers[index](x)

    def _resized(self, positions: Tensor, size: Sequence[int], new_size: Sequence[int]) -> Tensor:
        how = self.interpolate_mode, self.pos_antialias, self.pos_offset
        return resize_positions(positions, size, new_size, *how)

    def _check_size(self, x: Tensor) -> None:
        channels, wanted = x.shape[1], self.patch_embed.projection.in_channels
        if channels != wanted:
            raise InputError(
                f'images of {channels} channels, where the backbone takes {wanted}: it was trained '
                'on others'
            )
        height, width = x.shape[-2:]
        rows, columns = self.patch_embed.projection.kernel_size
        if height % rows or width % columns:
            raise InputError(
                f'images of {height}×{width} pixels cannot be cut into patches of '
                f'{rows}×{columns}: resize or pad them to multiples of these'
            )


def adapt_channels(weight: Tensor, channels: int) -> Tensor:
    """Adapt a patch embedding for RGB to other channels, as timm's ``adapt_input_conv``.

    For one channel the three are summed; for others they are repeated, and scaled by 3 / C, so that
    images of equal channels give what they gave.

    Args:
        weight (Tensor): (D, 3, p, p); one of other channels is returned as it is.
        channels (int): C.

    Returns:
        Tensor: (D, C, p, p).
    """
    if weight.shape[1] != 3 or channels == 3:
        return weight
    if channels == 1:
        return weight.sum(1, keepdim=True)
    repeated = weight.repeat(1, -(-channels // 3), 1, 1)[:, :channels]
    return repeated * (3 / channels)


def resize_positions(
    positions: Tensor,
    grid: Sequence[int],
    new_grid: Sequence[int],
    mode: str = 'bicubic',
    antialias: bool = False,
    offset: float = 0.0,
) -> Tensor:
    """Resize a position embedding; that of the class token stays.

    Args:
        positions (Tensor): (1, 1 + N, D), class token first.
        grid (Sequence[int]): Rows and columns of the N positions.
        new_grid (Sequence[int]): Those wanted.
        mode (str): See :func:`torch.nn.functional.interpolate`.
        antialias (bool): Likewise.
        offset (float): Added to the rows and columns wanted for the scale of the interpolation.

    Returns:
        Tensor: (1, 1 + M, D), the same tensor if the grids are equal.
    """
    if tuple(grid) == tuple(new_grid):
        return positions
    patches = positions[:, 1:].unflatten(1, tuple(grid)).permute(0, 3, 1, 2)  # (1,D,h,w)
    target = dict(size=tuple(new_grid))
    if offset:
        target = dict(scale_factor=tuple((new + offset) / old for new, old in zip(new_grid, grid)))
    patches = patches.to(torch.promote_types(patches.dtype, torch.float32))
    resized = F.interpolate(patches, mode=mode, antialias=antialias, **target)
    resized = resized.flatten(2).transpose(1, 2).to(positions.dtype)  # (1,M,D)
    return torch.cat([positions[:, :1], resized], dim=1)


def _read(source: str, which: str, num_heads: int | None, allow_pickle: bool) -> BackboneWeights:
    """Read a checkpoint and log what it is and what of it is taken."""
    checkpoint = read_checkpoint(source, allow_pickle)
    weights = read_backbone(checkpoint, which, num_heads, allow_pickle)
    rest = f'; left out: {some(weights.dropped)}' if weights.dropped else ''
    print_log(
        f'The backbone is that of {weights}; SHA-256 {checkpoint.sha256}{rest}.', logger='current'
    )
    return weights


def _num_layers(arch: str | dict) -> int:
    if isinstance(arch, str):
        if arch.lower() not in VisionTransformer.arch_zoo:
            names = ', '.join(sorted(VisionTransformer.arch_zoo))
            raise InputError(f"arch must be 'auto', a dict or one of {names}; got {arch!r}.")
        arch = VisionTransformer.arch_zoo[arch.lower()]
    return arch['num_layers']


def _check_indices(indices: int | Sequence[int], num_layers: int) -> list[int]:
    indices = [indices] if isinstance(indices, int) else list(indices)
    for index in indices:
        if not -num_layers <= index < num_layers:
            raise InputError(
                f'out_indices asks for layer {index}, but the backbone has {num_layers}, '
                f'0 to {num_layers - 1}.'
            )
    return [index % num_layers for index in indices]
