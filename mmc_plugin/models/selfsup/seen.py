"""What a student sees of the global views of a batch: for its loss, and for pictures."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class Seen(NamedTuple):
    """Global views as they enter the student.

    Dimensions: S of the V views of a batch, B images, N patches.

    Attributes:
        views (Tensor): (S, B, C, H, W), normalised.
        how (str): What was done to them: ``'noise'`` or ``'zeros'`` in the pixels of a mask, where
            no other image fills them; patches ``'masked'`` or ``'dropped'``; ``''``: nothing.
        hidden (Tensor | None): (S, B, N) bool, the patches that it does not see.
        first (int): The place of the first of them among all views; the teacher alone sees the
            others.
    """

    views: Tensor
    how: str = ''
    hidden: Tensor | None = None
    first: int = 0
