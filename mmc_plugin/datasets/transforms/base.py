"""What the transforms share: their representation, and checks of numbers in a config."""

from __future__ import annotations

import math
from numbers import Integral, Real

from mmcv.transforms import BaseTransform


class Transform(BaseTransform):
    """mmcv's ``BaseTransform``, shown with its arguments, which are its attributes."""

    def __repr__(self) -> str:
        arguments = ', '.join(f'{name}={value!r}' for name, value in vars(self).items())
        return f'{type(self).__name__}({arguments})'


def is_number(value: object) -> bool:
    """Whether it is a finite number; True and False are none."""
    return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)


def is_integer(value: object) -> bool:
    """Whether it is a whole number; True and False are none."""
    return isinstance(value, Integral) and not isinstance(value, bool)
