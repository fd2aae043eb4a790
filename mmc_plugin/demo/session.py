"""What a visitor is looking at. A session has a state of its own and no file."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ..errors import InputError

MOST_POINTS = 32


@dataclass
class Points:
    """Clicks on an image of ``width`` × ``height`` pixels.

    Attributes:
        places: (x, y) in pixels.
        labels: 1 for points on the object, 0 for points beside it.
    """

    width: int
    height: int
    places: list[tuple[float, float]] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)

    def add(self, x: float, y: float, beside: bool) -> None:
        """Add a point, given in parts of the width and the height.

        Raises:
            ValueError: If it is no point, or there are too many, or the first is beside the object.
        """
        if not all(isinstance(each, int | float) and 0 <= each <= 1 for each in (x, y)):
            raise InputError('A point lies within the image: click on the picture.')
        if len(self.places) == MOST_POINTS:
            raise InputError(f'There are {MOST_POINTS} points already: undo some.')
        if beside and 1 not in self.labels:
            raise InputError('Click on the object first, then beside it.')
        place = (min(x * self.width, self.width - 0.5), min(y * self.height, self.height - 0.5))
        self.places.append(tuple(round(each, 1) for each in place))
        self.labels.append(0 if beside else 1)

    def undo(self) -> None:
        """Take the last point back."""
        if self.places:
            self.places.pop()
            self.labels.pop()

    def clear(self) -> None:
        """Take all points back."""
        self.places.clear()
        self.labels.clear()


@dataclass
class Picture:
    """A chosen image.

    Attributes:
        name: Of its file, for people.
        image: uint8 RGB (H, W, 3), what is worked on.
        given: Width and height of the file.
        points: On it.
        sample: Whether it is one of the photographs of :mod:`mmc_plugin.datasets.photographs`.
        encoded: Seconds that each network took for it, by name and settings.
    """

    name: str
    image: np.ndarray
    given: tuple[int, int]
    points: Points
    sample: bool = False
    encoded: dict[tuple, float] = field(default_factory=dict)


@dataclass
class Clip:
    """A chosen video.

    Attributes:
        name: For people.
        frames: JPEG files.
        first: The first frame, uint8 RGB (H, W, 3).
        points: On it.
        turn: Counts presses of Follow and Stop: a following goes on while its number is this one.
        followed: Whether it is being followed now.
    """

    name: str
    frames: list[bytes]
    first: np.ndarray
    points: Points
    turn: int = 0
    followed: bool = False


def new_picture(
    name: str, image: np.ndarray, given: tuple[int, int], sample: bool = False
) -> Picture:
    """A picture without points."""
    height, width = image.shape[:2]
    return Picture(name, image, given, Points(width, height), sample)


def new_clip(name: str, frames: list[bytes], first: np.ndarray) -> Clip:
    """A clip without points."""
    height, width = first.shape[:2]
    return Clip(name, frames, first, Points(width, height))
