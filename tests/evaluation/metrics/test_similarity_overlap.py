import numpy as np
import pytest
import torch

from mmc_plugin.evaluation.metrics.similarity_overlap import SimilarityOverlap


def sample(index, tokens, masks, ignore=None, canvas=32, fit='stretch'):
    ignore = torch.zeros(masks.shape[1:], dtype=torch.bool) if ignore is None else ignore
    return dict(
        sample_idx=index,
        img_path=f'{index}.jpg',
        skipped=None,
        left_out=[],
        tokens=tokens,
        masks=masks,
        ignore=ignore,
        labels=torch.arange(len(masks)),
        canvas=canvas,
        fit=fit,
    )


def halves():
    """Left and right half of 16 × 16 pixels; the last row of the left one is background."""
    masks = torch.zeros(2, 16, 16, dtype=torch.bool)
    masks[0, :12, :8] = masks[1, :, 8:] = True
    return masks


def numbers(*samples, **keys):
    metric = SimilarityOverlap(**keys)
    metric.process({}, samples)
    scalars = metric.evaluate(len(samples))
    return metric.numbers, scalars


def test_two_images_equal_their_pairs_pooled():
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randn(2, 4, 4, 5, generator=generator)
    found, scalars = numbers(*(sample(i, each, halves()) for i, each in enumerate(tokens)))
    label = np.array([[1, 1, 2, 2]] * 3 + [[0, 0, 2, 2]]).ravel()
    pairs = [], []
    for each in tokens.flatten(1, 2).numpy():
        unit = each / np.linalg.norm(each, axis=1, keepdims=True)
        for i in range(16):
            for j in range(i):
                if label[i] and label[j]:
                    pairs[int(label[i] != label[j])].append(unit[i] @ unit[j])
    histograms = [np.histogram(each, 200, (-1, 1))[0] / len(each) for each in pairs]
    assert found['pairs'] == dict(intra=len(pairs[0]), inter=len(pairs[1]))
    assert found['intra'] == pytest.approx(np.mean(pairs[0]), abs=1e-6)
    assert found['inter'] == pytest.approx(np.mean(pairs[1]), abs=1e-6)
    assert found['overlap'] == pytest.approx(np.minimum(*histograms).sum(), abs=0.02)
    assert scalars['similarity/overlap'] == found['overlap']


def test_one_hot_and_identical_features():
    one_hot = torch.zeros(4, 4, 3)
    one_hot[:, :2, 0] = one_hot[:, 2:, 1] = 1
    found, _ = numbers(sample(0, one_hot, halves()))
    assert (found['overlap'], found['intra'], found['inter']) == (0, 1, 0)
    found, _ = numbers(sample(0, torch.ones(4, 4, 3), halves()))
    assert found['overlap'] == 1


def test_background_ignored_and_padded_patches():
    tokens = torch.randn(4, 4, 3)
    plain, _ = numbers(sample(0, tokens, halves()))
    more, _ = numbers(sample(0, tokens, halves()), include_background=True)
    assert plain['pairs'] == dict(intra=15 + 28, inter=48)
    assert more['pairs'] == dict(intra=15 + 28 + 1, inter=48 + 2 * 14)
    ignore = torch.zeros(16, 16, dtype=torch.bool)
    ignore[:, 12:] = True
    less, _ = numbers(sample(0, tokens, halves() & ~ignore, ignore))
    assert less['pairs'] == dict(intra=15 + 6, inter=24)
    wide = halves()[:, :8]  # the lower half of the canvas is padding
    padded, _ = numbers(sample(0, tokens, wide, fit='pad'), include_background=True)
    assert padded['pairs'] == dict(intra=12, inter=16)


def test_one_category_alone_has_no_inter_pairs():
    found, scalars = numbers(sample(0, torch.randn(4, 4, 3), halves()[1:]))
    assert found['pairs'] == dict(intra=28, inter=0)
    assert np.isnan(found['inter']) and np.isnan(scalars['similarity/overlap'])
    assert found['images_with_inter_pairs'] == 0


def test_what_is_kept_of_an_image_does_not_grow_with_its_pairs():
    metric = SimilarityOverlap()
    for side in (4, 16):
        metric.process({}, [sample(side, torch.randn(side, side, 3), halves())])
    one, two = ((each['histograms'].nbytes, each['sums'].nbytes) for each in metric.results)
    assert one == two == (2 * 200 * 8, 16)


def test_too_few_bins_are_refused():
    with pytest.raises(ValueError, match='bins'):
        SimilarityOverlap(bins=1)


@pytest.mark.parametrize('include, words', [(True, 'is one more category'), (False, 'is left out')])
def test_the_protocol_says_how_it_was_measured(include, words):
    text = SimilarityOverlap(bins=50, include_background=include).protocol()
    assert f'background {words}' in text and '50 bins' in text and 'at least 0.5 of it' in text
