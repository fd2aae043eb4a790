"""What a method asks of its backbone and its batches, refused in a sentence where it is missing."""

from __future__ import annotations

import math
from collections.abc import Mapping

from torch import nn

from ...errors import InputError
from ...wording import counted

# Transforms that make what is there for each view.
MAKERS = dict(mask='GMMLMask or BlockMask', alien='GMMLMask', keep='PatchDrop',
              regions='RegionViews')  # fmt: skip


def check_inputs(
    method: nn.Module,
    inputs: Mapping,
    *needed: str,
    views: int = 2,
    more: bool = False,
    crops: bool = True,
) -> None:
    """Refuse a batch that lacks what a loss reads, or has views and crops that it would not read.

    Args:
        method (nn.Module): Whose loss it is.
        inputs (Mapping): Output of :class:`ViewDataPreprocessor`.
        *needed (str): Keys beside ``views``.
        views (int): How many views the loss is made for. Defaults to 2.
        more (bool): Whether more will do, and local crops in place of all but one. Defaults to
            False.
        crops (bool): Whether the method takes local crops. Defaults to True.

    Raises:
        ValueError: That names the transform to add or to set, or what to leave out.
    """
    name, found = type(method).__name__, len(inputs['views'])
    enough = found + len(inputs.get('crops', ())) >= views if more else found == views
    if not enough:
        raise InputError(
            f'{name} needs {"at least " if more else ""}{counted(views, "view")} of each image and '
            f'gets {found}: set num_views of PackViews, and of MultiView before it, in '
            'train_dataloader.dataset.pipeline.'
        )
    for key in needed:
        if key not in inputs:
            raise InputError(
                f"{name} needs '{key}' of each image: put {MAKERS[key]} before PackViews in "
                'train_dataloader.dataset.pipeline.'
            )
    if not crops and 'crops' in inputs:
        raise InputError(
            f'{name} takes no local crops, but the pipeline makes some: leave them out of '
            "MultiView's num_views and transforms in train_dataloader.dataset.pipeline."
        )


def check_not_negative(**values: float) -> None:
    """Refuse numbers of a model, by their keys, that are below 0 or none.

    Raises:
        ValueError: That names the key.
    """
    for key, value in values.items():
        if not 0 <= value < math.inf:
            raise InputError(f'model.{key} must be a number of at least 0, got {value}.')


def check_head(method: nn.Module, kind: str, has: str) -> None:
    """Refuse a ``head`` of another kind than the loss reads.

    Args:
        method (nn.Module): Whose loss it is.
        kind (str): Name of the head that will do.
        has (str): Name of an attribute that it has.

    Raises:
        ValueError: That names the one that will do.
    """
    if not hasattr(method.head, has):
        raise InputError(
            f'{type(method).__name__} cannot use a head of type {type(method.head).__name__}: set '
            f"model.head.type='{kind}'."
        )


def check_hides_patches(method: nn.Module, backbone: nn.Module) -> None:
    """Refuse a backbone that cannot be run on a part of the patches.

    Raises:
        ValueError: That names the one that can.
    """
    if not getattr(backbone, 'hides_patches', False):
        raise InputError(
            f'{type(method).__name__} hides patches from the student, which '
            f"{type(backbone).__name__} cannot: set model.backbone.type='PretrainedViT' with "
            'frozen=False.'
        )
