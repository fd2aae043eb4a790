import pytest
import torch

from mmc_plugin.datasets.image_sets import ImageSource
from mmc_plugin.evaluation.feature_bank import FeatureBank
from mmc_plugin.evaluation.functional.few_shot import draw_episodes
from mmc_plugin.evaluation.metrics import Banks, FewShot

LABELS = torch.arange(4).repeat_interleave(6)


def bank(noise):
    generator = torch.Generator().manual_seed(0)
    cls = torch.eye(4)[LABELS] + noise * torch.randn(24, 4, generator=generator)
    labels = torch.cat([LABELS[:-1], torch.tensor([9])])
    return FeatureBank(cls[None], cls[None], torch.arange(24), torch.arange(24), labels)


def measure(metric, given):
    metric.process(None, [Banks(dict(test=given), torch.device('cpu'))])
    return metric.evaluate(1)


def test_of_features_that_are_their_classes():
    metric = FewShot(ways=3, queries=4, episodes=20)
    scalars = measure(metric, bank(0))
    assert scalars['few_shot/accuracy'] == scalars['few_shot/f1'] == 100
    assert metric.numbers['classes_left_out'] == 1  # the one with a single image
    assert metric.numbers['f1']['ci95'] == 0


def test_numbers_are_means_over_seeds_and_the_best_threshold():
    metric = FewShot(ways=3, queries=3, episodes=50, seeds=(4, 5))
    measure(metric, bank(0.6))
    numbers = metric.numbers
    assert 1 / 3 < numbers['accuracy']['mean'] < 1 and numbers['accuracy']['ci95'] > 0
    assert numbers['accuracy']['mean'] == pytest.approx(numbers['accuracy']['seeds'].mean().item())
    curve = numbers['f1_curve']
    assert len(curve) == 9 and numbers['f1']['mean'] == pytest.approx(curve.max().item())
    assert numbers['thresholds'][int(curve.argmax())] == numbers['best_threshold']
    alone = FewShot(ways=3, queries=3, episodes=50, seeds=(5,))
    measure(alone, bank(0.6))
    assert alone.numbers['accuracy']['mean'] == pytest.approx(
        numbers['accuracy']['seeds'][1].item()
    )


def test_wrong_settings_get_a_sentence():
    with pytest.raises(ValueError, match='at least 2 ways'):
        FewShot(ways=1)
    with pytest.raises(ValueError, match="one set, 'test', got train, test"):
        FewShot().check(dict(train=1, test=2))
    source = ImageSource(['a'] * 24, LABELS.tolist())
    FewShot(ways=4, queries=5).check(dict(test=source))
    with pytest.raises(ValueError, match='only 0 of 4 classes have so many'):
        FewShot(ways=4, queries=6).check(dict(test=source))
    assert draw_episodes(LABELS, 1, 4, 1, 5, 0).shape == (1, 4, 6)
