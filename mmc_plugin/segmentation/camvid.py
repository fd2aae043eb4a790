"""CamVid with its 11 classes, which mmsegmentation lacks."""

from __future__ import annotations

from mmseg.datasets import BaseSegDataset
from mmseg.registry import DATASETS


@DATASETS.register_module()
class CamVidDataset(BaseSegDataset):
    """CamVid (Brostow et al. 2009): frames from a car, in the 11 classes of SegNet.

    ``img_dir/<split>/*.jpg`` and ``ann_dir/<split>/*.png`` below ``data_root``; label ids 0 to 10,
    and 255 for pixels without one. The colours are ours: in the release's, road, fence and car are
    three purples.
    """

    METAINFO = dict(
        classes=(
            'sky', 'building', 'pole', 'road', 'pavement', 'tree', 'sign symbol', 'fence', 'car',
            'pedestrian', 'bicyclist'),
        palette=[
            [135, 206, 250], [139, 80, 43], [215, 215, 215], [105, 105, 115], [255, 150, 205],
            [34, 139, 34], [255, 235, 0], [255, 130, 0], [25, 60, 230], [225, 0, 40],
            [150, 0, 210]],
    )  # fmt: skip
