"""Normalisation of several augmented views of a batch."""

import torch
from mmpretrain.models.utils import SelfSupDataPreprocessor
from mmpretrain.registry import MODELS


@MODELS.register_module()
class ViewDataPreprocessor(SelfSupDataPreprocessor):
    """Moves a batch of ``PackViews`` to the device, stacks the views and normalises them.

    Args: as :class:`mmpretrain.models.SelfSupDataPreprocessor` (mean and std in 0…255).
    """

    def forward(self, data: dict, training: bool = False) -> dict:
        """Prepare a collated batch.

        Args:
            data (dict): ``inputs`` with ``views``, a list of V uint8 tensors (B, 3, H, W);
                ``mask`` (B, V, H, W) and ``alien`` (B, V), bool; optionally ``crops``, a list of
                uint8 tensors (B, 3, h, w). ``data_samples`` pass through.
            training (bool): Unused, of the host's interface.

        Returns:
            dict: ``inputs`` with ``views`` float (V, B, 3, H, W), ``mask`` (V, B, H, W),
            ``alien`` (V, B) and, if there are any, ``crops`` float (C, B, 3, h, w);
            ``data_samples``.
        """
        inputs = self.cast_data(data['inputs'])
        out = dict(
            views=self._normalise(inputs['views']),
            mask=inputs['mask'].transpose(0, 1),
            alien=inputs['alien'].transpose(0, 1),
        )
        if 'crops' in inputs:
            out['crops'] = self._normalise(inputs['crops'])
        return dict(inputs=out, data_samples=data.get('data_samples'))

    def _normalise(self, images: list[torch.Tensor]) -> torch.Tensor:
        stacked = torch.stack(images)
        if self._channel_conversion:
            stacked = stacked.flip(2)  # an index list would make the device wait for the host
        stacked = stacked.float()
        if self._enable_normalize:
            stacked.sub_(self.mean).div_(self.std)
        return stacked
