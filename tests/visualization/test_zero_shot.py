import numpy as np
import pytest

from mmc_plugin.visualization import zero_shot
from mmc_plugin.visualization.patch_pictures import cluster_picture, patch_panel
from mmc_plugin.visualization.zero_shot import (
    Click,
    case_sheet,
    click_panel,
    cut_out,
    similarity_histograms,
    threshold_curves,
)

ORANGE = (250, 140, 10)


def click(height=40, width=60, **keys):
    image = np.full((height, width, 3), ORANGE, np.uint8)
    similarity = np.zeros((height, width), np.float32)
    similarity[:, : width // 2] = 1
    return Click(image, np.array([[5.0, 5.0]]), similarity, similarity > 0.5, **keys)


def places(picture, colour, within=2):
    return np.argwhere(np.abs(picture.astype(int) - colour).max(-1) <= within)


def test_a_click_panel_shows_the_image_and_what_was_cut_out():
    panel = click_panel([click(), click(80, 50, labels=[1], caption='words')], 'title')
    found = places(panel, ORANGE)
    left, right = (found[found[:, 1] < panel.shape[1] / 2], found[found[:, 1] > panel.shape[1] / 2])
    assert 1.5 < len(left) / len(right) < 2.5  # half of each image is cut out
    for grey in (205, 245):  # the squares of the board
        assert 0.3 * len(right) < len(places(panel, (grey,) * 3)) < 0.7 * len(right)


def test_a_cut_out_is_the_image_inside_and_squares_outside():
    image = np.full((48, 72, 3), ORANGE, np.uint8)
    mask = np.zeros((48, 72), bool)
    mask[10:30, 20:50] = True
    picture = cut_out(image, mask)
    assert (picture[mask] == ORANGE).all()
    assert set(np.unique(picture[~mask])) == {205, 245}
    assert picture[0, 0, 0] == picture[1, 1, 0] == 205 != picture[0, 2, 0]  # squares of 48 / 24


@pytest.mark.parametrize('label', [1, 0])
def test_a_marker_does_not_hide_a_small_target(label):
    """A target of 6×6 pixels about the click shows as it does without a marker."""
    image = np.full((100, 150, 3), 90, np.uint8)
    image[47:53, 72:78] = ORANGE
    similarity = np.linspace(0, 1, 15000, dtype=np.float32).reshape(100, 150)
    shown = Click(image, np.array([[74.5, 49.5]]), similarity, similarity > 0.5, labels=[label])
    seen = len(places(click_panel([shown])[:, :400], ORANGE))
    shown.points = np.array([[10.0, 10.0]])
    assert seen > 0.95 * len(places(click_panel([shown])[:, :400], ORANGE)) > 100


def test_borders_of_predictions_and_targets_are_drawn():
    target = np.zeros((40, 60), bool)
    target[10:30, 30:50] = True
    with_target = case_sheet(dict(best=[click(target=target)], worst=[click()]))
    without = case_sheet(dict(best=[click()], worst=[click()]))
    assert with_target.shape == without.shape
    half = with_target.shape[0] // 4  # the outline is in the first row of pictures
    changed = np.argwhere((with_target != without).any(-1))
    assert len(changed) > 100 and changed[:, 0].max() < half + 40
    assert len(places(without, (0, 230, 118), 30)) > 50  # the prediction's outline
    nothing = click()
    nothing.mask = np.zeros_like(nothing.mask)
    assert len(places(case_sheet(dict(best=[nothing])), (0, 230, 118), 30)) == 0


def curve(level):
    thresholds = np.round(np.arange(-0.2, 0.95, 0.05), 6)
    return dict(
        thresholds=thresholds.tolist(),
        everything=0.1,
        curve=(level - (thresholds - 0.3) ** 2).tolist(),
        deviation=[0.01] * len(thresholds),
    )


def test_curves_are_those_of_the_numbers(monkeypatch):
    figures = []
    monkeypatch.setattr(zero_shot, 'figure_to_array', figures.append)
    runs = dict(one=curve(0.9), two=curve(0.6))
    threshold_curves(runs)
    (axis,) = figures[0].axes
    one, two, level = axis.lines
    for line, numbers, band in zip((one, two), runs.values(), axis.collections, strict=True):
        percent = 100 * np.array(numbers['curve'])
        np.testing.assert_allclose(line.get_xydata().T, [numbers['thresholds'], percent])
        edges = band.get_paths()[0].vertices
        for threshold, value in zip(numbers['thresholds'], percent, strict=True):
            heights = edges[np.isclose(edges[:, 0], threshold), 1]
            assert (heights.min(), heights.max()) == pytest.approx((value - 1, value + 1))
    assert set(level.get_ydata()) == {10}  # both runs have the same level, drawn once
    assert [text.get_text() for text in axis.get_legend().get_texts()] == [
        'one: best 90.0 at 0.3',
        'two: best 60.0 at 0.3',
        'predicting everything: 10.0',
    ]


def histograms(intra, inter):
    edges = np.linspace(-1, 1, 21)
    shares = np.zeros((2, 20))
    shares[0, intra], shares[1, inter] = 1, 1
    return dict(
        edges=edges.tolist(),
        intra=0.1,
        inter=None,
        overlap=0.0,
        histograms=dict(intra=shares[0].tolist(), inter=shares[1].tolist()),
    )


def test_histograms_stand_where_their_bins_are():
    picture = similarity_histograms(dict(one=histograms(4, 15)))
    blue = np.array(ORANGE) * 0 + np.round(np.array((31, 119, 180)) * 0.45 + 255 * 0.55)
    orange = np.round(np.array((255, 127, 14)) * 0.45 + 255 * 0.55)
    height, width = picture.shape[:2]
    big = [
        each[each[:, 0] > 0.3 * height]
        for each in (places(picture, blue, 3), places(picture, orange, 3))
    ]
    assert all(len(each) > 500 for each in big)
    assert big[0][:, 1].mean() < 0.5 * width < big[1][:, 1].mean()
    several = similarity_histograms({str(i): histograms(1, 2) for i in range(4)})
    assert several.shape[0] > 1.5 * height and several.shape[1] > 1.5 * width
    empty = histograms(1, 2)
    empty['overlap'] = None
    empty['histograms']['inter'] = [None] * 20
    assert similarity_histograms(dict(empty=empty)).shape == picture.shape


def test_histograms_are_zoomed_to_their_mass(monkeypatch):
    figures = []
    monkeypatch.setattr(zero_shot, 'figure_to_array', figures.append)
    edges = np.linspace(-1, 1, 201)
    shares = np.zeros((2, 200))
    shares[:, 150:199] = 0.5 / 49
    shares[:, 199] = 0.5 - 1e-3  # a peak at 1
    shares[:, 20] = 1e-3  # next to nothing
    one = dict(
        edges=edges.tolist(), intra=0.9, inter=0.9, overlap=1.0,
        histograms=dict(intra=shares[0].tolist(), inter=shares[1].tolist()),
    )  # fmt: skip
    similarity_histograms(dict(one=one))
    (axis,) = figures[0].axes
    assert 0.45 < axis.get_xlim()[0] < 0.5 and 1 < axis.get_xlim()[1] < 1.05
    assert axis.get_ylim()[1] == pytest.approx(2 * 0.5 / 49 / 0.01)
    assert axis.texts[0].get_text() == 'to 49.9'


def test_clusters_are_laid_over_grey():
    image = np.full((20, 30, 3), (30, 60, 90), np.uint8)
    picture = cluster_picture(image, np.array([[0, 1, 1]]))
    grey = 60
    for column, colour in ((3, (31, 119, 180)), (15, (255, 127, 14)), (29, (255, 127, 14))):
        assert np.abs(picture[10, column] - (0.55 * np.array(colour) + 0.45 * grey)).max() <= 1


def test_a_patch_panel_has_image_clusters_and_colours():
    image = np.full((20, 30, 3), ORANGE, np.uint8)
    rgb = np.zeros((2, 3, 3))
    rgb[..., 1] = 1
    panel = patch_panel([image], [np.zeros((2, 3), int)], [rgb])
    columns = [places(panel, colour)[:, 1].mean() for colour in (ORANGE, (0, 255, 0))]
    assert columns[0] < panel.shape[1] / 3 < 2 * panel.shape[1] / 3 < columns[1]
    with pytest.raises(ValueError):
        patch_panel([image], [], [])
