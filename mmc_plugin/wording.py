"""Numbers in sentences."""

from __future__ import annotations


def counted(number: int, noun: str, several: str | None = None) -> str:
    """A number of things: ``'1 image'``, ``'2 images'``, ``'0 images'``.

    Args:
        number (int): From 0.
        noun (str): What they are, of one.
        several (str, optional): Of several. Defaults to the noun with an s.
    """
    return f'{number} {noun if number == 1 else several or noun + "s"}'
