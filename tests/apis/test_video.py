import numpy as np
import pytest

from mmc_plugin.apis.video import read_video, track_objects
from mmc_plugin.datasets.transforms.loading import UnreadableImageError
from mmc_plugin.models.features import FrozenFeatures
from mmc_plugin.models.video_propagation import VideoPropagation
from mmc_plugin.visualization.video import write_video

COLOUR = dict(type='PatchColour', patch_size=8)


def test_an_object_is_followed_through_a_video_file(video, tmp_path):
    frames, masks = video
    path = tmp_path / 'a.mp4'
    write_video(str(path), frames)
    features = FrozenFeatures(COLOUR)
    found = list(track_objects(features, read_video(path), masks[0] == 1, size=64))
    assert len(found) == len(frames)
    for mask, truth in zip(found, masks, strict=True):
        assert np.array_equal(mask[4::8, 4::8], truth[4::8, 4::8] == 1)


def test_frames_may_be_files_and_models_given(davis, video):
    _, masks = video
    paths = sorted((davis / 'JPEGImages' / '480p' / 'both').iterdir())
    model = VideoPropagation(FrozenFeatures(COLOUR), size=64)
    found = list(track_objects(model, paths, masks[0]))
    for mask, truth in zip(found, masks, strict=True):
        assert np.array_equal(mask[4::8, 4::8], truth[4::8, 4::8])
    paths[6].write_bytes(b'broken')
    tracked = track_objects(model, paths, masks[0])
    assert np.array_equal(next(tracked), masks[0])  # only what is needed is read
    with pytest.raises(UnreadableImageError, match='00006.jpg'):
        list(tracked)


def test_what_is_no_video_is_said(tmp_path):
    with pytest.raises(FileNotFoundError, match='a.mp4. does not exist'):
        next(read_video(tmp_path / 'a.mp4'))
    (tmp_path / 'a.mp4').write_bytes(b'nothing')
    with pytest.raises(ValueError, match='cannot read .*a.mp4. as a video'):
        next(read_video(tmp_path / 'a.mp4'))
