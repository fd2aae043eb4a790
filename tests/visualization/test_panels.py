import numpy as np
import pytest

from mmc_plugin.visualization import panels, similarity_map
from mmc_plugin.visualization.panels import reconstruction_panel
from mmc_plugin.visualization.similarity_map import resize_map, similarity_panel


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


def test_resize_map_is_bilinear():
    ramp = resize_map(np.array([[0.0, 1.0], [0.0, 1.0]]), 2, 4)
    np.testing.assert_allclose(ramp, [[0, 0.25, 0.75, 1]] * 2)


def test_similarity_panel_has_a_row_for_each_image_and_a_column_for_each_state(monkeypatch):
    figures = []
    monkeypatch.setattr(similarity_map, 'figure_to_array', figures.append)
    images = [flat((30, 60, 90), 1)[0], flat((0, 0, 0), 1)[0]]
    maps = dict(before=[np.eye(2), 2 * np.eye(2)], after=[3 * np.eye(2), 4 * np.eye(2)])
    similarity_panel(images, [(4, 3), (1, 2)], maps, 'words')
    (figure,) = figures
    assert figure.get_suptitle() == 'words'
    grid, bars = figure.axes[:6], figure.axes[6:]
    assert [axis.get_title() for axis in grid[:3]] == ['clicked patch', *maps] and len(bars) == 4
    for i, (image, point) in enumerate(zip(images, [(4, 3), (1, 2)], strict=True)):
        clicked, *states = grid[3 * i : 3 * i + 3]
        assert np.array_equal(clicked.images[0].get_array(), image)
        for axis, each in zip(states, maps.values(), strict=True):
            grey, heat = axis.images
            assert (grey.get_array() == image.mean().astype(np.uint8)).all()
            assert np.array_equal(heat.get_array(), resize_map(each[i], 8, 8))
            assert heat.get_clim() == (0, each[i].max())
            assert heat.get_alpha() < 1
        for axis in (clicked, *states):
            assert all(tuple(line.get_xydata()[0]) == point for line in axis.lines)
            assert len(axis.lines) == 2
