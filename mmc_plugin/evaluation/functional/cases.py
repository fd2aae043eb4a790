"""Which cases of an evaluation are worth a look."""

from __future__ import annotations


def choose_cases(
    cases: list[tuple[float, int, int, int]], number: int
) -> dict[str, list[tuple[float, int, int, int]]]:
    """The best, median and worst of some cases, each of another target.

    Args:
        cases (list): IoU, image, target and repeat of each, by falling IoU.
        number (int): How many of each kind.

    Returns:
        dict: The chosen ones by kind.
    """
    middle = len(cases) // 2
    nearest = sorted(range(len(cases)), key=lambda place: abs(place - middle))
    orders = dict(best=cases, median=[cases[place] for place in nearest], worst=cases[::-1])
    chosen = {}
    for name, order in orders.items():
        of_target: dict[tuple[int, int], tuple] = {}
        for case in order:
            of_target.setdefault(case[1:3], case)
            if len(of_target) == number:
                break
        chosen[name] = list(of_target.values())
    return chosen
