import cv2
import numpy as np
import pytest

from mmc_plugin.visualization.video import _CODECS, contact_sheet, draw_objects, write_video


def test_objects_are_tinted_and_outlined(video):
    frames, masks = video
    picture = draw_objects(np.full_like(frames[0], 100), masks[0])
    assert (picture[0, 0] == 100).all()
    assert picture[15, 18].tolist() == [146, 50, 50]  # half of a bright red
    assert picture[47, 95].tolist() == [50, 146, 50]
    assert (picture[8, 8] == 255).all() and (picture[7, 8] == 255).all()
    plain = draw_objects(frames[0], np.zeros_like(masks[0]))
    assert np.array_equal(plain, frames[0])


@pytest.mark.parametrize('ending', ['.mp4', '.webm'])
def test_videos_can_be_read_again(video, ending, tmp_path):
    frames, _ = video
    path = tmp_path / f'a{ending}'
    write_video(str(path), iter(frames), fps=12)
    assert [each.name for each in tmp_path.iterdir()] == [path.name]
    reader = cv2.VideoCapture(str(path))
    assert round(reader.get(cv2.CAP_PROP_FPS)) == 12
    for frame in frames:
        found, image = reader.read()
        assert found and np.abs(image[..., ::-1].astype(int) - frame).mean() < 12
    assert not reader.read()[0]


def test_videos_that_cannot_be_written_are_said_and_leave_nothing(video, tmp_path, monkeypatch):
    def broken():
        yield from video[0][:3]
        raise KeyError

    path = str(tmp_path / 'a.mp4')
    with pytest.raises(KeyError):
        write_video(path, broken())
    with pytest.raises(ValueError, match='no frame for the video .*a.mp4'):
        write_video(path, [])
    with pytest.raises(ValueError, match='ends in .mp4 or .webm, not as .*a.avi'):
        write_video(str(tmp_path / 'a.avi'), video[0])
    monkeypatch.setitem(_CODECS, '.mp4', 'none')
    with pytest.raises(RuntimeError, match='cannot write the video .*a.mp4'):
        write_video(path, video[0])
    assert not list(tmp_path.iterdir())


def test_a_sheet_shows_its_pictures(video):
    frames, _ = video
    red = np.full((64, 128, 3), (250, 0, 0), np.uint8)
    sheet = contact_sheet({'one': [(frames[0], 'a'), (red, 'b')], 'two': [(red, 'c')]}, 'title')
    assert ((sheet == (250, 0, 0)).all(-1).mean()) > 0.2
    assert sheet.dtype == np.uint8 and sheet.shape[2] == 3
