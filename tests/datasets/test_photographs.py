import cv2
import pytest

from mmc_plugin.datasets import photographs
from mmc_plugin.datasets.photographs import CLICKS, copy_photographs


def test_ten_photographs_in_colour(tmp_path):
    copy_photographs(tmp_path / 'a' / 'b')
    paths = sorted((tmp_path / 'a' / 'b').iterdir())
    assert len(paths) == 10 and set(CLICKS) <= {path.name for path in paths}
    for path in paths:
        image = cv2.imread(str(path))
        assert min(image.shape[:2]) >= 200 and np_colourful(image), path
    assert all(0 <= each < 1 for point in CLICKS.values() for each in point)
    copy_photographs(tmp_path / 'a' / 'b')  # again


def np_colourful(image):
    return (image.max(-1).astype(int) - image.min(-1)).max() > 50


@pytest.mark.parametrize('entry', [('data', ('none.png',)), ('nowhere', ('chelsea.png',))])
def test_a_missing_one_names_the_way_out(tmp_path, monkeypatch, entry):
    monkeypatch.setitem(photographs.PHOTOGRAPHS, 'skimage', entry)
    with pytest.raises(FileNotFoundError, match='pip install scikit-image scikit-learn'):
        copy_photographs(tmp_path)


def test_a_missing_package_names_the_way_out(tmp_path, monkeypatch):
    monkeypatch.setitem(photographs.PHOTOGRAPHS, 'no_such_package', ('data', ('a.png',)))
    with pytest.raises(FileNotFoundError, match='a.png of the package no_such_package'):
        copy_photographs(tmp_path)
