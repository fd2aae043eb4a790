from types import SimpleNamespace

import cv2
import numpy as np
from mmengine.structures import BaseDataElement
from PIL import Image

from mmc_plugin.datasets.davis import DavisVideos
from mmc_plugin.engine.hooks import VideoResultsHook
from mmc_plugin.structures.palette import encode_palette


def test_masks_and_a_video_are_left_for_each_sequence(davis, video, tmp_path):
    _, masks = video
    item = DavisVideos(str(davis))[0]
    item['data_samples'].masks = [encode_palette(mask) for mask in masks]
    skipped = BaseDataElement(metainfo=dict(sequence='gone', skipped=('gone', 'it is not there')))
    runner = SimpleNamespace(log_dir=str(tmp_path / 'log'))
    VideoResultsHook().after_test_iter(
        runner, 0, dict(inputs=[item['inputs'], None]), [item['data_samples'], skipped]
    )
    root = tmp_path / 'log'
    assert sorted(path.name for path in root.rglob('*') if path.is_dir()) == [
        'both', 'masks', 'overlays',
    ]  # fmt: skip
    files = sorted((root / 'masks' / 'both').iterdir())
    assert [path.name for path in files] == [f'{place:05d}.png' for place in range(7)]
    for path, mask in zip(files, masks, strict=True):
        with Image.open(path) as image:
            assert image.mode == 'P' and np.array_equal(np.array(image), mask)
    reader = cv2.VideoCapture(str(root / 'overlays' / 'both.mp4'))
    assert reader.get(cv2.CAP_PROP_FRAME_COUNT) == 7
    red = reader.read()[1][12:20, 12:24].mean((0, 1))
    assert red[2] > 150 > red[0]
