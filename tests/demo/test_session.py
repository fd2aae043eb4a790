"""Clicks on an image, as the page keeps them."""

import pytest

from mmc_plugin.demo.session import MOST_POINTS, Points


def test_points_are_pixels_within_the_image():
    points = Points(640, 480)
    points.add(0.25, 0.5, False)
    points.add(1, 1, True)  # the last pixel, not the one after it
    points.add(0, 0, False)
    assert points.places == [(160.0, 240.0), (639.5, 479.5), (0.0, 0.0)]
    assert points.labels == [1, 0, 1]


@pytest.mark.parametrize(
    'place',
    [(-0.01, 0.5), (0.5, 1.01), (float('nan'), 0.5), (float('inf'), 0), ('0.5', 0.5), (None, 0)]
    + [([0.5], 0.5), ({}, 0)],
)
def test_what_is_no_place_is_refused(place):
    points = Points(64, 48)
    with pytest.raises(ValueError, match='lies within the image'):
        points.add(*place, False)
    assert not points.places and not points.labels


def test_undo_and_clear_take_places_and_labels():
    points = Points(64, 48)
    points.undo()
    for beside in (False, True, False):
        points.add(0.5, 0.5, beside)
    points.undo()
    assert points.labels == [1, 0] and len(points.places) == 2
    points.clear()
    assert points.labels == [] and points.places == []


def test_the_first_point_is_on_the_object():
    points = Points(64, 48)
    with pytest.raises(ValueError, match='on the object first'):
        points.add(0.5, 0.5, True)


def test_there_are_not_too_many_points():
    points = Points(64, 48)
    for _ in range(MOST_POINTS):
        points.add(0.5, 0.5, False)
    with pytest.raises(ValueError, match=f'{MOST_POINTS} points already'):
        points.add(0.5, 0.5, False)
    points.undo()
    points.add(0.1, 0.5, False)
