import math

import pytest
import torch

from mmc_plugin.datasets.image_sets import ImageSource
from mmc_plugin.evaluation.feature_bank import FeatureBank
from mmc_plugin.evaluation.metrics import Banks, Retrieval, retrieval


def bank(angles, labels=None, index=None):
    """Features on a circle, by their angles in degrees."""
    radians = torch.tensor([math.radians(each) for each in angles])
    cls = torch.stack([radians.cos(), radians.sin()], 1)[None]
    number = torch.arange(len(angles))
    index = number if index is None else torch.tensor(index)
    labels = number if labels is None else torch.tensor(labels)
    return FeatureBank(cls, cls, index, number, labels)


def measure(metric, **banks):
    metric.process(None, [Banks(banks, torch.device('cpu'))])
    return metric.evaluate(1)


def truth(**lists):
    return {key: torch.tensor(lists.get(key, []), dtype=torch.long).numpy()
            for key in ('easy', 'hard', 'junk')}  # fmt: skip


@pytest.mark.parametrize('elements', [2**22, 1])
def test_medium_and_hard_by_hand(elements, monkeypatch):
    monkeypatch.setattr(retrieval, '_BLOCK_ELEMENTS', elements)
    source = ImageSource(['a', 'b', 'c'], [0, 1, 2])
    source.ground_truth = [
        truth(easy=[0], hard=[2], junk=[1]), truth(easy=[3]), truth(),
    ]  # fmt: skip
    metric = Retrieval(ranks=(1, 2))
    metric.dataset_meta = dict(sets=dict(query=source))
    # Query 0 ranks 0 1 3 2 4; query 1 ranks 3 1 2 …
    scalars = measure(metric, database=bank([0, 10, 40, 30, 60]), query=bank([0, 28, 5]))
    numbers = metric.numbers['protocols']
    # Medium: without 1 the first query finds R W R.
    first = ((1 + 1) / 2 + (1 / 2 + 2 / 3) / 2) / 2
    assert numbers['medium']['map'] == pytest.approx((first + 1) / 2)
    assert numbers['medium']['mp@1'] == 1 and numbers['medium']['mp@2'] == pytest.approx(0.75)
    assert (numbers['medium']['queries'], numbers['medium']['without']) == (2, 1)
    # Hard: without 0 and 1 it finds W R, and the second query has nothing to find.
    assert numbers['hard']['map'] == pytest.approx((0 + 1 / 2) / 2)
    assert numbers['hard']['queries'] == 1 and numbers['hard']['mp@1'] == 0
    assert scalars['retrieval/hard_map'] == pytest.approx(25)


def test_images_that_cannot_be_read_are_no_longer_there():
    source = ImageSource(['a'], [0])
    source.ground_truth = [truth(easy=[0, 3])]
    metric = Retrieval()
    metric.dataset_meta = dict(sets=dict(query=source))
    # Of 0 1 2 3 the second is missing: places are still those of the ground truth.
    measure(metric, database=bank([0, 20, 10], index=[0, 2, 3]), query=bank([0]))
    assert metric.numbers['protocols']['medium']['map'] == pytest.approx(1)


def test_classes_are_relevant_and_each_image_ignores_itself():
    metric = Retrieval(ranks=[1])
    measure(metric, database=bank([0, 10, 30, 45], labels=[0, 1, 0, 1]))
    # 0: W R W → (0 + 1/2) / 2; 10: W W R or W R …: 0 is at 10°, 2 at 20°, 3 at 35°.
    expected = [1 / 4, (0 + 1 / 3) / 2, (0 + 1 / 3) / 2, (0 + 1 / 2) / 2]
    assert metric.numbers['protocols']['classes']['map'] == pytest.approx(sum(expected) / 4)
    assert metric.numbers['protocols']['classes']['mp@1'] == 0
    measure(metric, database=bank([0, 10], labels=[0, 1]), query=bank([2], labels=[0]))
    assert metric.numbers['protocols']['classes']['map'] == 1


def test_wrong_settings_and_sets_get_a_sentence():
    with pytest.raises(ValueError, match='positive ranks'):
        Retrieval(ranks=(0,))
    with pytest.raises(ValueError, match="needs the set 'database'.* got train"):
        Retrieval().check(dict(train=None))
    with pytest.raises(RuntimeError, match='No query has a relevant image'):
        measure(Retrieval(), database=bank([0], labels=[1]), query=bank([0], labels=[2]))
