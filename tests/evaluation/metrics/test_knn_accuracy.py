import numpy as np
import pytest
import torch
from sklearn.neighbors import KNeighborsClassifier

from mmc_plugin.datasets.image_sets import ImageSource
from mmc_plugin.evaluation.feature_bank import FeatureBank
from mmc_plugin.evaluation.metrics import Banks, KNNAccuracy


def bank(number, seed, classes=4, width=6):
    rng = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, classes, (number,), generator=rng)
    cls, pat = (torch.randn(1, number, width, generator=rng) for _ in 'cp')
    cls[0, :, :classes] += torch.eye(classes)[labels]
    pat[0, :, :classes] += 2 * torch.eye(classes)[labels]
    hashes = torch.arange(number) + 1000 * seed
    return FeatureBank(cls, pat, torch.arange(number), hashes, labels)


def measure(metric, banks):
    metric.process(None, [Banks(banks, torch.device('cpu'))])
    return metric.evaluate(1)


def test_equals_scikit_learn():
    banks = dict(train=bank(150, 1), test=bank(60, 2))
    scalars = measure(KNNAccuracy(k=(1, 10, 150), temperature=0.2), banks)
    assert len(scalars) == 9
    for kind in ('cls', 'pat', 'hybrid'):
        train, test = (banks[name].features(kind).numpy() for name in ('train', 'test'))
        for k in (1, 10, 150):
            reference = KNeighborsClassifier(
                k, weights=lambda d: np.exp((1 - d) / 0.2), metric='cosine'
            ).fit(train, banks['train'].labels)
            expected = 100 * reference.score(test, banks['test'].labels)
            assert scalars[f'knn/{kind}_k{k}'] == pytest.approx(expected, abs=1e-4)


def test_report_counts_what_is_twice_and_what_is_missing(caplog):
    train, test = bank(20, 1), bank(8, 2)
    train.hashes[3] = train.hashes[4]
    test.hashes[2] = train.hashes[0]
    test.labels[5] = 9
    test = FeatureBank(test.cls, test.pat, test.index, test.hashes, test.labels, ['broken.jpg'])
    metric = KNNAccuracy(kinds=['cls'], k=[5])
    metric.dataset_meta = dict(sets=dict(train=ImageSource(['a'], [0], absent=['gone.jpg'])))
    measure(metric, dict(train=train, test=test))
    numbers = metric.numbers
    assert numbers['sets']['train']['duplicates'] == 1
    assert numbers['sets']['train']['absent'] == ['gone.jpg']
    assert numbers['sets']['test']['unreadable'] == ['broken.jpg']
    assert numbers['images_in_two_sets'] == {'train and test': 1}
    assert numbers['images_of_unknown_classes'] == 1
    assert numbers['best']['cls'] == dict(k=5, accuracy=numbers['accuracy']['cls'][5])


def test_wrong_settings_and_sets_get_a_sentence():
    with pytest.raises(ValueError, match='kinds must be some of cls, pat, hybrid'):
        KNNAccuracy(kinds=['dense'])
    with pytest.raises(ValueError, match='k must be positive'):
        KNNAccuracy(k=(0, 1))
    metric = KNNAccuracy(k=5)
    train = ImageSource(['a'] * 4, [0, 0, 1, 1])
    with pytest.raises(ValueError, match="needs the sets 'train', which votes, and 'test'"):
        metric.check(dict(train=train))
    with pytest.raises(ValueError, match='k = 5 .* has 4 images: set test_evaluator.0.k'):
        metric.check(dict(train=train, test=train))
    with pytest.raises(ValueError, match='no class in common'):
        KNNAccuracy(k=1).check(dict(train=train, test=ImageSource(['a'], [3])))
    with pytest.raises(ValueError, match='only 4 images .* can be read'):
        measure(metric, dict(train=bank(4, 1), test=bank(4, 2)))
    broken = bank(4, 1)
    broken.cls[0, 1] = float('nan')
    with pytest.raises(RuntimeError, match="the set 'train' are not finite"):
        measure(KNNAccuracy(k=1), dict(train=broken, test=bank(4, 2)))
