import re

import cv2
import numpy as np

from mmc_plugin.visualization.click_gallery import write_click_gallery
from mmc_plugin.visualization.similarity_map import click_overlay


def test_a_row_for_each_image_and_a_picture_for_each_network(tmp_path):
    generator = np.random.default_rng(0)
    images = [np.full((40, 60, 3), value, np.uint8) for value in (30, 180)]
    points = [(10, 12), (50, 33)]
    maps = {
        'before training': generator.uniform(-0.2, 1, (2, 5, 5)),
        'a < b & "c"': generator.uniform(0.9, 1, (2, 10, 10)),
    }
    html = write_click_gallery(tmp_path, images, points, maps)
    sources = re.findall(r'src="([^"]*)"', html)
    assert sources == [f'clicks/{row}_{column}.jpg' for row in (1, 2) for column in (0, 1, 2)]
    for source, (row, found) in zip(
        sources, [(row, found) for row in (0, 1) for found in (None, *maps.values())], strict=True
    ):
        expected = click_overlay(images[row], points[row], None if found is None else found[row])
        picture = cv2.imread(str(tmp_path / source))[..., ::-1].astype(int)
        assert picture.shape == (40, 60, 3) and np.abs(picture - expected).mean() < 12
    assert html.count('class="gallery"') == 2 and html.count('class="scale"') == 1
    first = maps['before training'][0]
    assert f'cosine {first.min():.2f} to {first.max():.2f}' in html
    assert html.count('a &lt; b &amp; &quot;c&quot;') == 4 and '-2' in html and '+2' in html
