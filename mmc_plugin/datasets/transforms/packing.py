"""The last step of the pipeline: views, crops and masks as tensors."""

import cv2
import numpy as np
import torch
from mmpretrain.registry import TRANSFORMS
from mmpretrain.structures import DataSample

from ...errors import InputError
from .base import Transform


def to_planes(image: np.ndarray) -> torch.Tensor:
    """Image (H, W, C), uint8 or float32 → contiguous tensor (C, H, W) of its type."""
    if image.dtype == np.float32 and image.ndim == 3:  # of other channels than a photograph's
        return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise InputError(
            f'PackViews takes uint8 images (H, W, 3), but got {image.dtype} {image.shape}; '
            'check the transforms before it.'
        )
    planes = np.empty((3, *image.shape[:2]), np.uint8)
    # OpenCV writes into the planes it is given, some ten times faster than a transposed copy. It
    # takes no negative strides, which a flip leaves.
    cv2.split(np.ascontiguousarray(image), list(planes))
    return torch.from_numpy(planes)


@TRANSFORMS.register_module()
class PackViews(Transform):
    """Pack the images of one sample.

    Required keys: ``img``, list of uint8 (H, W, 3) or float32 (H, W, C); optional: ``mask`` (bool
    (V, H, W)), ``alien`` (bool (V,)), ``keep`` (int64 (V, M)), ``regions`` (float32 (V, R, 4)),
    ``colours`` (float32, of each image), ``sample_idx``, ``img_path``, ``skipped``.

    The result holds

    - ``inputs['views']``: the first ``num_views`` images, tensors (C, H, W) of their type;
    - ``inputs['crops']``: the others, tensors (C, h, w), only if there are any;
    - ``inputs['mask']``, ``inputs['alien']``, ``inputs['keep']``, ``inputs['regions']``,
      ``inputs['colours']``: tensors, only if the pipeline made them;
    - ``data_samples``: ``DataSample`` with ``sample_idx``, ``img_path`` and ``skipped`` (list of
      (path, reason) of the unreadable files met on the way to this sample) as meta information.

    Args:
        num_views (int): V, number of global views. Defaults to 2.

    Raises:
        ValueError: Fewer images than views, or an image that is not uint8 (H, W, 3).
    """

    def __init__(self, num_views: int = 2) -> None:
        self.num_views = num_views

    def transform(self, results: dict) -> dict:
        """Pack ``results``."""
        images = results['img']
        if not isinstance(images, list) or len(images) < self.num_views:
            found = len(images) if isinstance(images, list) else 'a single image'
            raise InputError(
                f'PackViews needs a list of at least num_views={self.num_views} images, but got '
                f'{found}; make as many with MultiView, or set num_views.'
            )
        planes = [to_planes(image) for image in images]
        inputs = dict(views=planes[: self.num_views])
        if len(planes) > self.num_views:
            inputs['crops'] = planes[self.num_views :]
        for key in ('mask', 'alien', 'keep', 'regions', 'colours'):
            if key in results:
                inputs[key] = torch.from_numpy(results[key])
        meta = {key: results[key] for key in ('sample_idx', 'img_path') if key in results}
        sample = DataSample(metainfo=dict(meta, skipped=results.get('skipped', [])))
        return dict(inputs=inputs, data_samples=sample)
