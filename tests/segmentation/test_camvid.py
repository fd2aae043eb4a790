"""CamVid's classes on the real files."""

import cv2
import numpy as np
import pytest

pytest.importorskip('mmseg')

from mmengine.registry import init_default_scope
from mmseg.registry import DATASETS

import mmc_plugin.segmentation  # noqa: F401  registers


def test_classes_and_palette_fit():
    meta = DATASETS.get('CamVidDataset').METAINFO
    assert len(meta['classes']) == len(meta['palette']) == 11
    rgb = np.array([meta['palette']], np.float32) / 255
    lab = cv2.cvtColor(rgb, cv2.COLOR_RGB2LAB)[0]
    apart = np.linalg.norm(lab[:, None] - lab, axis=-1)[np.triu_indices(11, 1)]
    assert apart.min() > 29  # CIE76; the release's road, fence and car are 24 to 38 apart


def test_the_real_data(data_root):
    init_default_scope('mmseg')
    found = set()
    for split, images in (('train', 367), ('val', 101)):
        dataset = DATASETS.build(
            dict(
                type='CheckedSegDataset',
                dataset=dict(
                    type='CamVidDataset',
                    data_root=str(data_root / 'camvid'),
                    data_prefix=dict(img_path=f'img_dir/{split}', seg_map_path=f'ann_dir/{split}'),
                    pipeline=[dict(type='LoadImageFromFile'), dict(type='LoadAnnotations')],
                ),
            )
        )
        assert len(dataset) == images
        for i in range(0, images, 25):
            sample = dataset[i]
            assert sample['img'].shape == (360, 480, 3)
            found.update(np.unique(sample['gt_seg_map']).tolist())
    assert found == {*range(11), 255}
    # Where each class belongs: the sky is above, the road below.
    rows = {
        name: np.nonzero(sample['gt_seg_map'] == i)[0].mean()
        for i, name in enumerate(dataset.metainfo['classes'])
        if (sample['gt_seg_map'] == i).any()
    }
    assert rows['sky'] < rows['building'] < rows['road']
