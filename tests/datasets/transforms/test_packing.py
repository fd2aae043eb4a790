import numpy as np
import pytest
import torch

from mmc_plugin.datasets.transforms.packing import PackViews


def images(*sizes):
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (*size, 3), dtype=np.uint8) for size in sizes]


def test_views_crops_masks_and_meta():
    img = images((8, 10), (8, 10), (4, 5), (4, 5), (4, 5))
    img[1] = img[1][:, ::-1]  # a flip leaves negative strides
    mask = np.zeros((2, 8, 10), bool)
    mask[1, 2:4] = True
    packed = PackViews()(
        dict(
            img=img,
            mask=mask,
            alien=np.array([True, False]),
            sample_idx=7,
            img_path='a.jpg',
            skipped=[('b.jpg', 'empty')],
        )
    )
    inputs = packed['inputs']
    assert [tuple(v.shape) for v in inputs['views']] == [(3, 8, 10)] * 2
    assert [tuple(c.shape) for c in inputs['crops']] == [(3, 4, 5)] * 3
    for tensor, image in zip(inputs['views'] + inputs['crops'], img, strict=True):
        assert tensor.dtype == torch.uint8 and tensor.is_contiguous()
        assert np.array_equal(tensor.numpy(), image.transpose(2, 0, 1))
    assert inputs['mask'].dtype == inputs['alien'].dtype == torch.bool
    assert np.array_equal(inputs['mask'].numpy(), mask)
    assert inputs['alien'].tolist() == [True, False]
    sample = packed['data_samples']
    assert (sample.sample_idx, sample.img_path) == (7, 'a.jpg')
    assert sample.skipped == [('b.jpg', 'empty')]


def test_absent_parts_stay_absent():
    packed = PackViews(num_views=1)(dict(img=images((4, 4))))
    assert set(packed['inputs']) == {'views'}
    assert packed['data_samples'].skipped == []


def test_sentences():
    with pytest.raises(ValueError, match='num_views=2 images, but got 1'):
        PackViews()(dict(img=images((4, 4))))
    with pytest.raises(ValueError, match='a single image'):
        PackViews()(dict(img=images((4, 4))[0]))
    with pytest.raises(ValueError, match='uint8 images .*float64'):
        PackViews()(dict(img=[np.zeros((4, 4, 3))] * 2))
