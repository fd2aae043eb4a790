"""What a detector is looked at for before it runs."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import torch
from torch import nn

from ..errors import InputError

_SIDE = 8  # patches of the blank image


def expected_strides(model: nn.Module) -> Iterator[tuple[str, list[float]]]:
    """Strides of the maps that the parts of a detector are set for.

    Args:
        model (nn.Module): A detector of mmdet.

    Yields:
        tuple[str, list[float]]: Name of a part, and the strides of the first maps in pixels.
    """
    for name, module in model.named_modules():
        generator = getattr(module, 'prior_generator', None)
        if generator is not None and hasattr(generator, 'strides'):
            yield name, [stride[0] for stride in generator.strides]
        elif hasattr(module, 'featmap_strides'):
            yield name, list(module.featmap_strides)


@torch.no_grad()
def check_strides(model: nn.Module) -> None:
    """Send a blank image through backbone and neck, and compare its maps with the heads' strides.

    mmdet does not: four maps of one size under anchors of four strides train, to nothing.

    Args:
        model (nn.Module): A detector of mmdet whose backbone is a vision transformer.

    Raises:
        ValueError: With the strides that are, those that should be, and the neck to take.
    """
    backbone = model.backbone
    embedding = getattr(backbone, 'patch_embed', None)
    if embedding is None:
        return
    patch = embedding.projection.kernel_size[0]
    side = patch * _SIDE
    device = next(model.parameters()).device
    training = {module: module.training for module in model.modules()}
    model.eval()
    try:
        maps = model.extract_feat(torch.zeros(1, 3, side, side, device=device))
    finally:
        for module, mode in training.items():
            module.training = mode
    sizes = [each.shape[-1] for each in maps]
    for name, strides in expected_strides(model):
        fits = len(strides) <= len(sizes) and all(
            math.floor(side / stride) <= size <= math.ceil(side / stride)
            for stride, size in zip(strides, sizes)
        )
        if not fits:
            neck = type(model.neck).__name__ if getattr(model, 'neck', None) else 'no neck'
            right = [patch / 4, patch / 2, patch, patch * 2, patch * 4]
            raise InputError(
                f'{name} is set for maps of strides {_listed(strides)}, and gets maps of strides '
                f'{_listed([side / size for size in sizes])} from {type(backbone).__name__} '
                f"(patch {patch}) and {neck}: take neck=dict(type='SimpleFPN', "
                f'in_channels={backbone.embed_dims}) with one of out_indices in the backbone, '
                f'whose maps have strides {_listed(right)}, and set the strides of the heads to '
                'these'
            )


def _listed(numbers: Sequence[float]) -> str:
    return ', '.join(f'{number:g}' for number in numbers)


def check_classes(model: nn.Module, dataset) -> None:
    """Compare the classes of the heads with those of a data set.

    Args:
        model (nn.Module): A detector of mmdet.
        dataset (BaseDataset): Its images.

    Raises:
        ValueError: With both numbers.
    """
    classes = dataset.metainfo.get('classes') or ()
    for name, module in model.named_modules():
        if name.endswith('rpn_head') or not hasattr(module, 'num_classes'):
            continue
        if classes and name and module.num_classes != len(classes):
            raise InputError(
                f'{name} has num_classes={module.num_classes}, and the data set '
                f'{len(classes)} classes ({", ".join(classes[:3])}, …): set num_classes to '
                f'{len(classes)}, or name the classes in metainfo of the data set'
            )


def check_optimizer(model: nn.Module, groups: Sequence[dict]) -> None:
    """Refuse an optimiser that holds weights of a backbone that does not learn.

    Args:
        model (nn.Module): A detector.
        groups (Sequence[dict]): Of the optimiser, with ``params``.

    Raises:
        ValueError: With the two ways out.
    """
    frozen = {id(p) for p in model.backbone.parameters() if not p.requires_grad}
    held = sum(id(p) in frozen for group in groups for p in group['params'])
    if held and len(frozen) == len(list(model.backbone.parameters())):
        raise InputError(
            f'the backbone is frozen, but the optimiser holds {held} of its weights: set '
            "optim_wrapper.constructor='mmpretrain.MergedGroupsOptimWrapperConstructor', which "
            'leaves them out, or model.backbone.frozen=False to train them'
        )
