"""Numbers in sentences."""

import pytest

from mmc_plugin.wording import counted


@pytest.mark.parametrize(
    'number, words, expected',
    [
        (0, ('image',), '0 images'),
        (1, ('image',), '1 image'),
        (2, ('image',), '2 images'),
        (1, ('patch', 'patches'), '1 patch'),
        (3, ('patch', 'patches'), '3 patches'),
        (1, ('image is', 'images are'), '1 image is'),
    ],
)
def test_one_is_not_several(number, words, expected):
    assert counted(number, *words) == expected
