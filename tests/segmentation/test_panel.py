"""What the picture shows, pixel by pixel."""

import numpy as np
import pytest

pytest.importorskip('mmseg')

from mmc_plugin.segmentation import panel
from mmc_plugin.segmentation.panel import overlay, segmentation_panel

CLASSES = [f'class {i}' for i in range(4)]
PALETTE = [[250, 0, 0], [0, 250, 0], [0, 0, 250], [250, 250, 0]]


def test_overlay_mixes_grey_and_the_class_colour():
    image = np.full((2, 3, 3), (90, 60, 30), np.uint8)  # grey 60
    labels = np.array([[0, 1, 255], [2, 2, 3]])
    mixed = overlay(image, labels, np.array(PALETTE, np.uint8))
    assert mixed[0, 0].tolist() == [193, 18, 18] and mixed[1, 2].tolist() == [193, 193, 18]
    assert mixed[0, 2].tolist() == [18, 18, 18]  # no label: only darker


def test_legend_has_the_classes_of_the_image_and_their_iou(monkeypatch):
    figures = []
    monkeypatch.setattr(panel, 'figure_to_array', figures.append)
    truth = np.zeros((10, 10), int)
    truth[:4] = 2
    truth[9] = 255
    prediction = np.zeros((10, 10), int)
    prediction[:2] = 2
    prediction[9] = 3  # where nothing is labelled
    segmentation_panel(np.zeros((10, 10, 3), np.uint8), truth, prediction, CLASSES, PALETTE, 'name')
    (figure,) = figures
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    # class 0: 50 of 70 pixels; class 2: 20 of 40.
    assert labels == ['class 0  71 %', 'class 2  50 %', 'no label']
    assert figure.get_suptitle() == 'name   mean IoU in this image 60.7 %'
    assert [axis.get_title() for axis in figure.axes] == ['image', 'truth', 'prediction']


@pytest.mark.parametrize('shape', [(360, 480), (500, 333)])
def test_pictures_without_and_with_many_classes(shape, monkeypatch):
    figures = []
    monkeypatch.setattr(panel, 'figure_to_array', figures.append)
    rng = np.random.default_rng(0)
    image = rng.integers(0, 255, (*shape, 3), dtype=np.uint8)
    nothing = np.full(shape, 255)
    many = rng.integers(0, 60, shape)
    names = [f'a class with number {i}' for i in range(60)]
    colours = rng.integers(0, 255, (60, 3)).tolist()
    for truth, prediction in ((nothing, many), (many, many[::-1])):
        segmentation_panel(image, truth, prediction, names, colours)
    for figure, entries in zip(figures, (['no label'], names), strict=True):
        figure.canvas.draw()  # lays out
        legend = figure.legends[0]
        found = [text.get_text().split('  ')[0] for text in legend.get_texts()]
        assert sorted(found) == sorted(entries)
        inside = legend.get_window_extent()
        assert inside.x0 >= 0 and inside.y0 >= 0 and inside.x1 <= figure.bbox.x1 == 1440
        for axis in figure.axes:  # the pictures keep clear of the legend and are not squeezed
            assert axis.get_window_extent().y0 >= inside.y1
            assert axis.get_window_extent().width > 1440 / 4.5
