"""What all transforms share."""

import numpy as np
import pytest

from mmc_plugin.datasets.transforms.base import Transform, is_integer, is_number


class Twice(Transform):
    def __init__(self, number, name):
        self.number, self.name = number, name

    def transform(self, results):
        return results


def test_the_representation_makes_an_equal_one():
    found = eval(repr(Twice(3, 'a')))
    assert vars(found) == dict(number=3, name='a')


@pytest.mark.parametrize(('value', 'number', 'integer'), [
    (3, True, True), (np.int64(3), True, True), (0.5, True, False), (np.float32(2), True, False),
    (True, False, False), (float('nan'), False, False), (float('inf'), False, False),
    ('3', False, False), (None, False, False), (1j, False, False),
])  # fmt: skip
def test_what_is_a_number(value, number, integer):
    assert (is_number(value), is_integer(value)) == (number, integer)
