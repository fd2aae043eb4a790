import cv2
import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view
from skimage.morphology import disk

from mmc_plugin.evaluation.functional.davis_scores import (
    boundary,
    boundary_accuracy,
    region_similarity,
    sequence_statistics,
)


def blobs(seed, objects=3, height=60, width=90):
    """Objects of smooth outlines, some at the border of the image."""
    noise = np.random.default_rng(seed).random((objects + 1, height, width))
    smooth = [cv2.GaussianBlur(each, (0, 0), 7) for each in noise]
    return np.argmax(smooth, axis=0).astype(np.uint8)


def by_dilation(truth, predicted):
    """F by dilating both boundaries, as the official evaluation does it."""
    lines = []
    for mask in (truth, predicted):
        around = sliding_window_view(np.pad(mask, ((0, 1), (0, 1)), 'edge'), (2, 2))
        lines.append((around != mask[..., None, None]).any((2, 3)).astype(np.uint8))
    disc = disk(int(np.ceil(0.008 * np.linalg.norm(truth.shape)))).astype(np.uint8)
    thick = [cv2.dilate(line, disc) for line in lines]
    numbers = [int(line.sum()) for line in lines]
    if 0 in numbers:
        return float(numbers == [0, 0])
    recall = (lines[0] * thick[1]).sum() / numbers[0]
    precision = (lines[1] * thick[0]).sum() / numbers[1]
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


@pytest.mark.parametrize('seed', range(4))
def test_scores_equal_the_obvious_ones(seed):
    truth, predicted = blobs(seed), blobs(seed)
    predicted = np.roll(predicted, (seed, 2 * seed - 1), (0, 1))  # from near to far
    predicted[seed * 10 : seed * 10 + 12, 5:30] = seed
    found = region_similarity(truth, predicted, 3)
    for index in (1, 2, 3):
        a, b = truth == index, predicted == index
        assert found[index - 1] == pytest.approx((a & b).sum() / (a | b).sum())
        assert boundary_accuracy(a, b) == pytest.approx(by_dilation(a, b), abs=1e-12)
        assert 0 < by_dilation(a, b) < 1


@pytest.mark.parametrize('size', [(480, 854), (30, 40), (200, 310)])
def test_the_tolerance_is_a_disc(size):
    """One square against another that is moved a pixel at a time, straight and aslant."""
    truth = np.zeros(size, bool)
    truth[10:17, 10:17] = True
    for shift in range(12):
        for moved in (np.roll(truth, shift, 1), np.roll(truth, (shift, shift), (0, 1))):
            assert boundary_accuracy(truth, moved) == pytest.approx(by_dilation(truth, moved))


def test_truth_itself_scores_one():
    truth = blobs(9)
    assert region_similarity(truth, truth, 3).tolist() == [1, 1, 1]
    assert all(boundary_accuracy(truth == index, truth == index) == 1 for index in range(4))


def test_what_is_absent():
    truth = np.zeros((20, 30), np.uint8)
    truth[5:9, 5:9] = 1
    predicted = np.where(truth > 0, 3, 0).astype(np.uint8)
    assert region_similarity(truth, predicted, 3).tolist() == [0, 1, 0]
    assert region_similarity(truth, truth, 2).tolist() == [1, 1]
    nothing, thing, everything = np.zeros((20, 30), bool), truth > 0, np.ones((20, 30), bool)
    assert boundary_accuracy(nothing, nothing) == boundary_accuracy(nothing, everything) == 1
    assert boundary_accuracy(thing, nothing) == boundary_accuracy(nothing, thing) == 0


def test_boundaries_at_the_border_of_the_image():
    mask = np.zeros((4, 5), bool)
    mask[2:, 3:] = True
    expected = np.zeros((4, 5), bool)
    expected[1, 2:] = expected[1:, 2] = True
    assert np.array_equal(boundary(mask), expected)


def test_statistics_by_hand():
    values = np.array([1, 0.9, 0.8, 0.5, 0.6, 0.4, 0.2, 0.1, 0.0])  # quarters share a frame
    found = sequence_statistics(values)
    assert found['mean'] == pytest.approx(0.5)
    assert found['recall'] == pytest.approx(4 / 9)  # 0.5 itself does not count
    assert found['decay'] == pytest.approx(0.9 - 0.1)
    assert sequence_statistics(np.array([0.7])) == dict(mean=0.7, recall=1.0, decay=0.0)


@pytest.mark.parametrize('length', [1, 2, 5, 48, 102])
def test_decay_equals_the_official_bins(length):
    values = np.random.default_rng(length).random(length)
    ids = (np.round(np.linspace(1, length, 5) + 1e-10) - 1).astype(np.uint8)
    bins = [values[ids[i] : ids[i + 1] + 1] for i in range(4)]
    found = sequence_statistics(values)['decay']
    assert found == pytest.approx(bins[0].mean() - bins[3].mean())


def test_long_sequences_have_quarters_too():
    values = np.linspace(1, 0, 401)  # the official code counts frames in eight bits
    assert sequence_statistics(values)['decay'] == pytest.approx(0.75)
