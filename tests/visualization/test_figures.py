import cv2
import numpy as np
import pytest

from mmc_plugin.errors import InputError, RunError
from mmc_plugin.visualization.figures import write_picture


def test_a_picture_is_written_as_it_is(tmp_path):
    picture = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    write_picture(tmp_path / 'new' / 'a.png', picture)
    np.testing.assert_array_equal(cv2.imread(tmp_path / 'new' / 'a.png')[..., ::-1], picture)


def test_pictures_that_cannot_be_written(tmp_path):
    picture = np.zeros((5, 7, 3), np.uint8)
    with pytest.raises(InputError, match='a.txt has no ending of a picture: name a file such'):
        write_picture(tmp_path / 'a.txt', picture)
    (tmp_path / 'a.png').mkdir()
    with pytest.raises(RunError, match='a.png cannot be written'):
        write_picture(tmp_path / 'a.png', picture)
