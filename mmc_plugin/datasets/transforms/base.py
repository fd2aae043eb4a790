"""What the transforms share: their representation, and checks of numbers in a config."""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Integral, Real

from mmcv.transforms import BaseTransform

from ...errors import InputError


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


def check_count(name: str, value: object) -> None:
    """Refuse what is no whole number of at least 1."""
    if not is_integer(value) or value < 1:
        raise InputError(f'{name} must be a whole number of at least 1 but is {value!r}.')


def check_fraction(name: str, value: object, zero_allowed: bool = False) -> None:
    """Refuse what is no number in (0, 1], or [0, 1]."""
    if not is_number(value) or not (0 < value <= 1 or (zero_allowed and value == 0)):
        raise InputError(
            f'{name} must lie in {"[" if zero_allowed else "("}0, 1] but is {value!r}.'
        )


def checked_range(
    name: str, value: Sequence[float], low: float, high: float, low_allowed: bool = True
) -> tuple[float, float]:
    """The pair, or a refusal of what is no rising pair within [low, high], or (low, high]."""
    if (
        not isinstance(value, (tuple, list))
        or len(value) != 2
        or not all(is_number(end) for end in value)
        or not low <= value[0] <= value[1] <= high
        or (value[0] == low and not low_allowed)
    ):
        bracket = '[' if low_allowed else '('
        raise InputError(
            f'{name} must be a pair (smallest, largest) within {bracket}{low}, {high}]'
            f' but is {value!r}.'
        )
    return tuple(value)
