import pytest

from mmc_plugin.evaluation.metrics import FeatureVariance


def result(index, image=None, patch=None):
    values = {} if image is None else dict(image=image, patch=patch)
    return dict(sample_idx=index, img_path=f'{index}.jpg', **values)


def test_means_over_images_each_once():
    metric = FeatureVariance()
    metric.dataset_meta = None
    metric.process(None, [result(1, 0.2, 2.0), result(0, 0.4, 4.0), result(2), result(0, 0.4, 4.0)])
    scalars = metric.evaluate(4)
    assert scalars == pytest.approx({'variance/image': 0.3, 'variance/patch': 3.0})
    assert metric.numbers['images'] == 2 and metric.numbers['unreadable'] == ['2.jpg']
    assert metric.numbers['image']['ci95'] == pytest.approx(1.96 * 0.1)


def test_without_a_number_there_is_a_sentence():
    metric = FeatureVariance()
    with pytest.raises(RuntimeError, match="None of the images can be read .1 in all.*'2.jpg'"):
        metric.compute_metrics([result(2)])
    with pytest.raises(RuntimeError, match='not finite'):
        metric.compute_metrics([result(2, float('nan'), 1.0)])
