import numpy as np
import pytest

from mmc_plugin.visualization import panels
from mmc_plugin.visualization.panels import reconstruction_panel


def flat(colour, number=2):
    return np.full((number, 8, 8, 3), colour, np.uint8)


def share_of(picture, colour):
    return (np.abs(picture.astype(int) - colour).max(-1) <= 2).mean()


def test_reconstruction_panel_shows_each_image(monkeypatch):
    clean, corrupted, rebuilt = flat((250, 0, 0)), flat((0, 250, 0)), flat((0, 0, 250))
    mask = np.zeros((2, 8, 8), bool)
    mask[:, :, :4] = True
    shown = []
    original = panels.show_image
    monkeypatch.setattr(
        panels, 'show_image', lambda axis, image: (shown.append(image), original(axis, image))
    )
    picture = reconstruction_panel(clean, corrupted, rebuilt, mask)
    assert picture.dtype == np.uint8 and picture.shape[2] == 3 and len(shown) == 8
    for row in (shown[:4], shown[4:]):
        assert np.array_equal(row[3][:, :4], rebuilt[0][:, :4])
        assert np.array_equal(row[3][:, 4:], clean[0][:, 4:])
    # each row: a clean, a corrupted and a rebuilt square, and one half clean, half rebuilt
    red, green, blue = (share_of(picture, colour) for colour in np.eye(3) * 250)
    assert 0.1 < green < 0.25
    assert red / green == pytest.approx(1.5, rel=0.1) and blue / green == pytest.approx(
        1.5, rel=0.1
    )
