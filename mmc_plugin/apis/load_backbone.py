"""Any known checkpoint → a vision transformer that is ready to use."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

import torch
from mmengine.logging import print_log
from torch.nn import init
from torch.overrides import TorchFunctionMode

from ..checkpoints.backbone import backbone_read
from ..models.backbones import PretrainedViT


def load_backbone(
    source: str | os.PathLike,
    which: str = 'teacher',
    out_type: str = 'raw',
    out_indices: int | Sequence[int] = -1,
    img_size: int | tuple[int, int] | None = None,
    num_heads: int | None = None,
    pos_offset: float = 0.0,
    allow_pickle: bool = False,
    device: str | torch.device = 'cpu',
    frozen: bool = True,
) -> PretrainedViT:
    """Load a vision transformer from a checkpoint of any known format, and log what was found.

    On the CPU the weights stay mapped from the file where its format allows it: do not write into
    that file while the model is in use (replacing it by another is safe).

    Args:
        source (str | PathLike): See :func:`mmc_plugin.checkpoints.read_backbone`: a file, a
            folder, ``timm:<name>`` or ``hf:<name>``.
        which (str): ``'teacher'`` or ``'student'``, where the file has both.
        out_type (str): See :class:`PretrainedViT`; ``'raw'`` gives (B, 1 + N, D).
        out_indices (int | Sequence[int]): Layers to return.
        img_size (int | tuple[int, int], optional): Resize the position embedding once to this
            image size; by default it stays as in the file and is resized to each input.
        num_heads (int, optional): Attention heads, where the file does not say.
        pos_offset (float): See :class:`PretrainedViT`: 0.1 for published scores of DINO, and of
            DINOv2 without registers, at other sizes than the file's.
        allow_pickle (bool): Run the code in a pickle. Only for files that you trust.
        device (str | torch.device): Where the model shall be.
        frozen (bool): No gradients, no training mode.

    Returns:
        PretrainedViT: In evaluation mode. Its attribute ``source`` tells the format, path,
        normalisation (``mean``, ``std``, RGB on the scale 0–255) and settings.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it does not hold a vision transformer of a known kind.
    """
    with backbone_read(source, which, num_heads, allow_pickle, img_size) as weights:
        settings = dict(weights.settings)
        if img_size is not None:
            settings['img_size'] = img_size
        with _Unfilled():
            model = PretrainedViT(
                **settings,
                pos_offset=pos_offset,
                frozen=frozen,
                out_type=out_type,
                out_indices=out_indices,
            )
        model.load(weights)
    print_log(f'Loaded {weights}.', logger='current')
    if not frozen:  # else it is in evaluation mode already
        model.eval()
    return model if torch.device(device).type == 'cpu' else model.to(device)


class _Unfilled(TorchFunctionMode):
    """Inside: no memory is taken and nothing drawn for parameters, since they are replaced.

    ``torch.device('meta')`` alone would draw, which takes a third of the time of making a model.
    """

    _MAKE = (torch.empty, torch.zeros, torch.ones)
    _FILL = (init.uniform_, init.normal_, init.constant_, init.kaiming_uniform_)

    def __torch_function__(
        self, func: Callable, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func in self._FILL:
            return kwargs['tensor']
        if func in self._MAKE:
            kwargs['device'] = 'meta'
        return func(*args, **kwargs)
