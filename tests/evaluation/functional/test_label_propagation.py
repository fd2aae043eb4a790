import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from mmc_plugin.evaluation.functional import label_propagation
from mmc_plugin.evaluation.functional.label_propagation import (
    grid_labels,
    labels_to_mask,
    propagate_labels,
    stretch,
)


def dense(target, sources, labels, radius, topk, temperature):
    """All pairs of tokens in float64, as the DINO release does it."""
    h, w, _ = target.shape
    affinity = np.einsum('ijd,spqd->spqij', target.double(), sources.double())
    affinity = np.exp(affinity / temperature)
    i, p = np.arange(h)[:, None], np.arange(h)
    j, q = np.arange(w)[:, None], np.arange(w)
    rows, columns = np.abs(i - p) <= radius, np.abs(j - q) <= radius  # (h, h), (w, w)
    affinity = affinity * rows.T[None, :, None, :, None] * columns.T[None, None, :, None, :]
    flat = affinity.reshape(-1, h * w)
    least = np.sort(flat, axis=0)[-min(topk, len(flat))]
    flat = np.where(flat < least, 0, flat)
    flat = flat / flat.sum(0)
    values = labels.double().permute(1, 0, 2, 3).flatten(1).numpy()
    return (values @ flat).reshape(-1, h, w)


def case(seed, sources=3, classes=3, h=11, w=19, width=8):
    generator = torch.Generator().manual_seed(seed)
    tokens = F.normalize(torch.randn(sources + 1, h, w, width, generator=generator), dim=-1)
    labels = torch.rand(sources, classes, h, w, generator=generator)
    return tokens[0], tokens[1:], labels / labels.sum(1, keepdim=True)


@pytest.mark.parametrize('tile', [1, 4, 100])
@pytest.mark.parametrize(
    'sources, radius, topk, temperature',
    [(3, 2, 5, 0.1), (1, 12, 5, 0.1), (2, 0, 5, 0.1), (8, 3, 1, 0.5), (2, 50, 7, 0.01)],
)
def test_equals_all_pairs_in_float64(sources, radius, topk, temperature, tile, monkeypatch):
    monkeypatch.setitem(label_propagation._TILE, 'cpu', tile)
    target, before, labels = case(0, sources)
    found = propagate_labels(target, before, labels, radius, topk, temperature)
    expected = dense(target, before, labels, radius, topk, temperature)
    np.testing.assert_allclose(found, expected, atol=2e-5)
    np.testing.assert_allclose(found.sum(0), 1, atol=1e-5)


def test_ties_with_the_last_neighbour_all_count():
    """Tokens of few directions, exact in float32: most neighbours are equally near."""
    generator = torch.Generator().manual_seed(1)
    tokens = torch.eye(4)[torch.randint(4, (3, 9, 10), generator=generator)]
    labels = torch.rand(2, 3, 9, 10, generator=generator)
    found = propagate_labels(tokens[0], tokens[1:], labels, radius=2, topk=5)
    np.testing.assert_allclose(found, dense(tokens[0], tokens[1:], labels, 2, 5, 0.1), atol=1e-6)
    same = tokens[:1, :1, :1].expand(2, 9, 10, 4)
    found = propagate_labels(same[0], same[1:], labels[:1], radius=1, topk=2)
    assert found[0, 4, 4] == pytest.approx(labels[0, 0, 3:6, 3:6].mean().item())


def test_nothing_outside_the_window_counts():
    target, before, labels = case(2)
    found = propagate_labels(target, before, labels, radius=3)
    far = torch.ones(11, 19, dtype=torch.bool)
    far[2:9, 6:13] = False  # around (5, 9)
    before = torch.where(far[..., None], target[5, 9], before)
    moved = propagate_labels(target, before, labels, radius=3)
    torch.testing.assert_close(moved[:, 5, 9], found[:, 5, 9])
    assert not torch.allclose(moved[:, 5, 10], found[:, 5, 10])


def test_memory_follows_from_the_window_and_not_from_all_pairs(monkeypatch):
    largest = 0
    exp = torch.Tensor.exp_

    def watched(tensor):
        nonlocal largest
        largest = max(largest, tensor.numel())
        return exp(tensor)

    monkeypatch.setattr(torch.Tensor, 'exp_', watched)
    target, before, labels = case(3, 2, h=40, w=60)
    propagate_labels(target, before, labels, radius=4)
    assert largest == 8 * 8 * 2 * 16 * 16 < 2 * 2400**2 // 300


def test_the_first_mask_is_sampled_as_pillow_does():
    mask = np.random.default_rng(0).integers(0, 4, (48, 85), dtype=np.uint8)
    mask[mask == 2] = 9
    classes = np.array([0, 1, 3, 9], np.uint8)
    found = grid_labels(mask, classes, 3, 5)
    small = np.asarray(Image.fromarray(mask).resize((5, 3), 0))
    assert np.array_equal(classes[found.argmax(0)], small)
    assert np.array_equal(found.sum(0), np.ones((3, 5)))


def test_maps_are_stretched_each_on_its_own():
    maps = torch.tensor([[[0.25, 0.5, 0.75]], [[0, 0, 0]], [[0.3, 0.3, 0.3]]])
    expected = torch.tensor([[[0, 0.5, 1]], [[0, 0, 0]], [[0.3, 0.3, 0.3]]])
    torch.testing.assert_close(stretch(maps), expected)


def test_masks_are_those_of_the_release():
    """Upsampled, stretched, the largest taken, and brought to the frame, one label at a time."""
    labels = torch.rand(3, 6, 8, generator=torch.Generator().manual_seed(4))
    labels[1] *= 0.2  # a faint object still wins where it is brightest
    found = labels_to_mask(labels, np.array([0, 2, 7], np.uint8), (96, 128), (90, 150))
    maps = F.interpolate(labels[None], scale_factor=16, mode='bilinear', align_corners=False)[0]
    for each in maps:
        each -= each.min()
        each /= each.max()
    winner = np.array([0, 2, 7], np.uint8)[maps.numpy().argmax(0)]
    assert np.array_equal(found, np.asarray(Image.fromarray(winner).resize((150, 90), 0)))
    assert found.dtype == np.uint8 and set(np.unique(found)) == {0, 2, 7}
