"""CamVid with its 11 classes, which mmsegmentation lacks."""

from __future__ import annotations

from mmseg.datasets import BaseSegDataset
from mmseg.registry import DATASETS


@DATASETS.register_module()
class CamVidDataset(BaseSegDataset):
    """CamVid (Brostow et al. 2009): frames from a car, in the 11 classes of SegNet.

    ``img_dir/<split>/*.jpg`` and ``ann_dir/<split>/*.png`` below ``data_root``; label ids 0 to 10,
    and 255 for pixels without one.
    """

    METAINFO = dict(
        classes=(
            'sky', 'building', 'pole', 'road', 'pavement', 'tree', 'sign symbol', 'fence', 'car',
            'pedestrian', 'bicyclist'),
        palette=[
            [128, 128, 128], [128, 0, 0], [192, 192, 128], [128, 64, 128], [60, 40, 222],
            [128, 128, 0], [192, 128, 128], [64, 64, 128], [64, 0, 128], [64, 64, 0],
            [0, 128, 192]],
    )  # fmt: skip
