"""Labels of photographs brought to others, against a loop over patches."""

import numpy as np
import pytest

from mmc_plugin.apis import transfer_labels
from mmc_plugin.models.features import FrozenFeatures

COLOUR = dict(type='PatchColour', patch_size=8)
COLOURS = np.array([[220, 40, 40], [40, 200, 60], [50, 60, 220]], np.uint8)


def scene(seed, height=48, width=80, noise=12):
    """Patches of 8 pixels in the colours of three classes, and the class of each pixel."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, (height // 8, width // 8)).repeat(8, 0).repeat(8, 1)
    pixels = COLOURS[labels] + rng.normal(0, noise, (height, width, 3))
    return pixels.clip(0, 255).astype(np.uint8), labels


@pytest.mark.parametrize('fit', ['stretch', 'pad'])
def test_colours_get_their_labels(fit):
    size = (80, 80) if fit == 'stretch' else (48, 80)
    labelled = [scene(seed, *size) for seed in (0, 1)]
    images, truths = zip(*(scene(seed, *size) for seed in (2, 3)), strict=True)
    model = FrozenFeatures(COLOUR, 80, fit)
    found = list(transfer_labels(model, labelled, images, 3, k=5))
    for each, truth in zip(found, truths, strict=True):
        centres = slice(4, None, 8), slice(4, None, 8)  # between them maps are interpolated
        assert each.shape == truth.shape and (each == truth)[centres].all()
    # Padding has no label, and patches without one are not asked.
    photograph, labels = labelled[0]
    partly = np.where(np.arange(80) < 40, labels, 255)
    (found,) = transfer_labels(model, [(photograph, partly)], images[:1], 3, k=999)
    assert found.shape == size and set(np.unique(found)) <= {0, 1, 2}


def test_wrong_labels_get_a_sentence():
    model = FrozenFeatures(COLOUR, 80)
    photograph, labels = scene(0)
    for wrong, words in (
        (labels[:-1], r'shape \(48, 80\), as large as their photograph, got int64 of shape'),
        (labels.astype(float), 'whole numbers .* got float64'),
        (labels + 3, 'No pixel of the labelled photographs has a label: .* 0 to 2'),
    ):
        with pytest.raises(ValueError, match=words):
            list(transfer_labels(model, [(photograph, wrong)], [photograph], 3))
    with pytest.raises(ValueError, match='No pixel of the labelled photographs'):
        list(transfer_labels(model, [], [photograph], 3))
    with pytest.raises(ValueError, match='k must be between 1'):
        list(transfer_labels(model, [(photograph, labels)], [photograph], 3, k=0))
