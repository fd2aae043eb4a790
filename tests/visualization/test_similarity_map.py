import numpy as np
import pytest
from matplotlib import colormaps

from mmc_plugin.visualization import similarity_map
from mmc_plugin.visualization.similarity_map import (
    SCALE,
    click_overlay,
    cosine_range,
    resize_map,
    scale_colours,
    similarity_panel,
    standardise,
)


def photograph(size=64, value=100):
    return np.full((size, size, 3), value, np.uint8)


def halves(low, high, side=8):
    """A map whose right half is higher."""
    found = np.full((side, side), low, np.float32)
    found[:, side // 2 :] = high
    return found


def test_resize_map_is_bilinear():
    ramp = resize_map(np.array([[0.0, 1.0], [0.0, 1.0]]), 2, 4)
    np.testing.assert_allclose(ramp, [[0, 0.25, 0.75, 1]] * 2)


def test_standardise():
    values = np.random.default_rng(0).normal(0.9, 0.01, (7, 9))
    found = standardise(values)
    assert found.mean() == pytest.approx(0) and found.std() == pytest.approx(1)
    assert np.array_equal(found.argsort(axis=None), values.argsort(axis=None))
    assert not standardise(np.full((3, 3), 0.5)).any()


def test_overlay_has_the_colours_of_the_scale():
    """Halves stand one standard deviation below and above the mean, whatever their cosines."""
    overlay = click_overlay(photograph(), (5, 5), halves(0.2, 0.8))
    narrow = click_overlay(photograph(), (5, 5), halves(0.93, 0.99)).astype(int)
    away = [*range(24), *range(40, 61)]  # from the outlines
    assert np.abs(narrow - overlay)[:60, away].max() <= 1
    low, high = SCALE
    for column, standard in ((12, -1), (52, 1)):
        colour = np.array(colormaps['inferno']((standard - low) / (high - low))[:3])
        expected = 0.3 * 100 + 0.7 * 255 * colour
        assert np.abs(overlay[50, column] - expected).max() < 3


def test_overlay_outlines_what_otsu_selects():
    overlay = click_overlay(photograph(), (5, 5), halves(-0.3, 1.0))
    drawn = (overlay[20:60].astype(int).min(-1) > 200).all(0)
    # Somewhere on the slope between the halves, and at the border of the image.
    (columns,) = np.nonzero(drawn)
    assert len(columns) >= 2 and 27 <= columns[0] <= 36 and columns[-1] == 63
    assert not drawn[:27].any() and not drawn[37:62].any()


def test_the_marker_is_a_ring():
    """What was clicked stays to be seen."""
    image = photograph(400, 90)
    overlay = click_overlay(image, (200.0, 100.0))
    assert (overlay[96:105, 196:205] == 90).all() and (overlay[300:] == 90).all()
    ring = overlay[80:121, 180:221]
    assert (ring == 255).all(-1).sum() > 50 and (ring == 0).all(-1).sum() > 50
    assert (image == 90).all()


def test_words_and_colours():
    assert cosine_range(np.array([[0.934, 0.5], [1.0, 0.7]])) == 'cosine 0.50 to 1.00'
    colours = scale_colours()
    assert len(colours) == 9 and colours[0] == '#000004' and colours[-1] == '#fcffa4'


def test_panel_has_a_column_for_each_network(monkeypatch):
    shown = []
    original = similarity_map.show_image
    monkeypatch.setattr(
        similarity_map,
        'show_image',
        lambda axis, image: (shown.append(image), original(axis, image)),
    )
    images, points = [photograph(value=40), photograph(value=200)], [(4, 4), (50, 9)]
    maps = dict(before=[halves(0, 1)] * 2, after=[halves(0.5, 0.2)] * 2)
    one = similarity_panel(images, points, dict(before=maps['before']))
    assert len(shown) == 4
    two = similarity_panel(images, points, maps)
    assert two.shape[1] > one.shape[1] and two.dtype == np.uint8
    for row, picture in enumerate(shown[4:7]):
        found = (None, maps['before'][0], maps['after'][0])[row]
        np.testing.assert_array_equal(picture, click_overlay(images[0], points[0], found))
