from collections import Counter

import pytest

from mmc_plugin.datasets.fixed_length_sampler import FixedLengthSampler


def epochs(images, length, number, **keys):
    sampler = FixedLengthSampler(range(images), length, seed=5, **keys)
    found = []
    for epoch in range(number):
        sampler.set_epoch(epoch)
        found.append(list(sampler))
    return found


@pytest.mark.parametrize(('images', 'length'), [(10, 32), (100, 7), (5, 5), (3, 1)])
def test_each_image_once_before_any_again(images, length):
    found = epochs(images, length, 2 * images)
    assert all(len(each) == length for each in found)
    stream = [key.index for each in found for key in each]
    for start in range(0, len(stream) - images + 1, images):
        assert sorted(stream[start : start + images]) == list(range(images))
    seeds = Counter(key.seed for each in found for key in each)
    assert max(seeds.values()) == 1


def test_depends_on_seed_and_epoch_only():
    assert epochs(10, 32, 3) == epochs(10, 32, 3)
    late = FixedLengthSampler(range(10), 32, seed=5)
    late.set_epoch(2)
    assert list(late) == epochs(10, 32, 3)[2]
    other = FixedLengthSampler(range(10), 32, seed=6)
    assert list(other) != epochs(10, 32, 1)[0]


def test_processes_share_an_epoch(monkeypatch):
    whole = epochs(10, 32, 1)[0]
    parts = []
    for rank in range(2):
        monkeypatch.setattr(
            'mmc_plugin.datasets.fixed_length_sampler.get_dist_info', lambda rank=rank: (rank, 2)
        )
        parts.append(epochs(10, 32, 1)[0])
    assert [key for pair in zip(*parts, strict=True) for key in pair] == whole


def test_refuses_in_a_sentence():
    with pytest.raises(ValueError, match='length must be positive'):
        FixedLengthSampler(range(3), 0)
