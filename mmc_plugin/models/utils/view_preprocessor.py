"""Normalisation of several augmented views of a batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from mmpretrain.models.utils import SelfSupDataPreprocessor
from mmpretrain.registry import MODELS
from torch import Tensor

from ...errors import InputError
from .colours import apply_colours
from .corruption import touched_patches


@MODELS.register_module()
class ViewDataPreprocessor(SelfSupDataPreprocessor):
    """Moves a batch of ``PackViews`` to the device, stacks the views and normalises them.

    Colours that :class:`DrawColours` has left to the device are changed before.

    Args:
        mean (Sequence[float], optional): Of each of C channels, on the scale 0 … 255.
        std (Sequence[float], optional): Likewise.
        **kwargs: Of :class:`mmpretrain.models.SelfSupDataPreprocessor`.
    """

    # Of a model that reconstructs pixels, which says so itself.
    patch_size: int | None = None

    def __init__(
        self,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        **kwargs: Any,
    ) -> None:
        if (mean is None) != (std is None):
            raise InputError('model.data_preprocessor has one of mean and std: give both or none.')
        lengths = {len(values) for values in (mean, std) if values is not None}
        if lengths <= {1, 3}:  # the host takes no other numbers
            super().__init__(mean, std, **kwargs)
            return
        if len(lengths) > 1:
            raise InputError(
                f'model.data_preprocessor has {len(mean)} numbers as mean and {len(std)} as std: '
                'it takes one of each for a channel.'
            )
        super().__init__(mean[:1], std[:1], **kwargs)
        self.mean = torch.tensor(mean).view(-1, 1, 1)
        self.std = torch.tensor(std).view(-1, 1, 1)

    def forward(self, data: dict, training: bool = False) -> dict:
        """Prepare a collated batch.

        Args:
            data (dict): ``inputs`` with ``views``, a list of V tensors (B, C, H, W), uint8 or
                float32; optionally ``crops``, a list of such tensors (B, C, h, w) of any sizes;
                ``colours`` (B, images, n), see :class:`DrawColours`; what else there is for each
                view, such as ``mask`` (B, V, H, W) and ``alien`` (B, V). ``data_samples`` pass
                through.
            training (bool): Unused, of the host's interface.

        Returns:
            dict: ``inputs`` with ``views`` float (V, B, C, H, W); ``crops``, if there are any,
            a list with a float tensor (K, B, C, h, w) for each resolution; all else with its views
            first, (V, B, …). ``touched``, see :func:`touched_patches`, if there is a ``mask`` and
            :attr:`patch_size` is set. ``data_samples``.

        Raises:
            ValueError: If there are no views of one size, or other ``colours`` than images.
        """
        _check_views(data['inputs'])
        inputs, touched = dict(data['inputs']), {}
        if self.patch_size and 'mask' in inputs:  # here, where nothing waits for the device
            places = touched_patches(inputs['mask'].transpose(0, 1), self.patch_size)
            touched = self.cast_data(dict(touched=places))
        inputs = dict(self.cast_data(inputs))
        views, crops = inputs.pop('views'), inputs.pop('crops', [])
        if 'colours' in inputs:
            images = _coloured([*views, *crops], inputs.pop('colours'))
            views, crops = images[: len(views)], images[len(views) :]
        out = dict(views=self._stack(views))
        if crops:
            sizes: dict[torch.Size, list[Tensor]] = {}
            for crop in crops:
                sizes.setdefault(crop.shape, []).append(crop)
            out['crops'] = [self._stack(crops) for crops in sizes.values()]
        out |= {name: each.transpose(0, 1) for name, each in inputs.items()} | touched
        return dict(inputs=out, data_samples=data.get('data_samples'))

    def normalise(self, images: Tensor) -> Tensor:
        """Normalise clean images as the training does, on the model's device.

        Args:
            images (Tensor): uint8 RGB (B, 3, H, W), or of C channels in the files' order.

        Returns:
            Tensor: float (B, C, H, W).
        """
        return self._scale(self._reordered(self.cast_data(images)))

    def denormalise(self, images: Tensor) -> Tensor:
        """Undo :meth:`normalise`: float (B, 3, H, W) to uint8 RGB (B, 3, H, W) on the CPU."""
        pixels = images.float()
        if self._enable_normalize:
            pixels = pixels * self.std + self.mean
        pixels = pixels.round().clamp(0, 255).to(torch.uint8).cpu()
        return self._reordered(pixels)

    def _reordered(self, images: Tensor) -> Tensor:
        # The pipeline's order is BGR: a model whose images are not converted sees that.
        if self._channel_conversion or images.shape[1] != 3:
            return images
        return images.flip(1)

    def _stack(self, images: Sequence[Tensor]) -> Tensor:
        stacked = torch.stack(list(images))
        if self._channel_conversion:
            stacked = stacked.flip(2)  # an index list would make the device wait for the host
        return self._scale(stacked)

    def _scale(self, images: Tensor) -> Tensor:
        images = images.to(torch.float32, copy=True)
        return images.sub_(self.mean).div_(self.std) if self._enable_normalize else images


def _check_views(inputs: Any) -> None:
    views = inputs.get('views') if isinstance(inputs, dict) else None
    sizes = sorted({tuple(view.shape[2:]) for view in views or ()})
    if len(sizes) != 1:
        found = ', '.join(' × '.join(map(str, size)) for size in sizes) or 'no views'
        raise InputError(
            f'A batch needs views of one size, got {found}: make them with MultiView, end the '
            'pipeline with PackViews, and let its num_views count those of the first size alone.'
        )


def _coloured(images: Sequence[Tensor], colours: Tensor) -> list[Tensor]:
    if colours.ndim != 3 or colours.shape[1] != len(images):
        raise InputError(
            f"inputs['colours'] must be (images, {len(images)} views and crops, numbers) but is "
            f'{tuple(colours.shape)}: let no transform after DrawColours add or drop images.'
        )
    return [apply_colours(*each) for each in zip(images, colours.unbind(1), strict=True)]
