import numpy as np

from mmc_plugin.evaluation.functional.cases import choose_cases


def test_cases_are_the_best_median_and_worst_of_different_targets():
    cases = sorted(
        (
            (value, image, target, repeat)
            for value, (image, target, repeat) in zip(
                np.random.default_rng(0).random(60).tolist(), np.ndindex(6, 2, 5), strict=True
            )
        ),
        reverse=True,
    )
    chosen = choose_cases(cases, 3)
    assert chosen['best'][0] == cases[0] and chosen['worst'][0] == cases[-1]
    assert chosen['median'][0] == cases[30]
    for group in chosen.values():
        assert len({case[1:3] for case in group}) == 3
    assert len(choose_cases(cases[:1], 3)['median']) == 1
