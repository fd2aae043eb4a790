import pytest
import torch

from mmc_plugin.errors import InputError
from mmc_plugin.models.utils import ViewDataPreprocessor

MEAN, STD = (
    torch.tensor([120.0, 110, 100]).view(3, 1, 1),
    torch.tensor([50.0, 60, 70]).view(3, 1, 1),
)


def preprocessor(to_rgb=True):
    return ViewDataPreprocessor(MEAN.flatten().tolist(), STD.flatten().tolist(), to_rgb=to_rgb)


def pixels(*shape):
    return torch.randint(0, 256, shape, dtype=torch.uint8)


@pytest.mark.parametrize('to_rgb', [True, False])
def test_normalise_and_back(to_rgb):
    images, ours = pixels(2, 3, 4, 5), preprocessor(to_rgb)
    before = images.clone()
    found = ours.normalise(images)
    expected = images if to_rgb else images.flip(1)  # of a model that sees the files' BGR
    torch.testing.assert_close(found, (expected - MEAN) / STD)
    assert torch.equal(ours.denormalise(found), images) and torch.equal(images, before)
    # A batch of the pipeline, which is BGR, comes to the same.
    batch = ours(dict(inputs=dict(views=[images.flip(1)])))
    assert torch.equal(batch['inputs']['views'][0], found)


def test_the_callers_images_stay():
    images = pixels(2, 3, 4, 5).float()
    before = images.clone()
    preprocessor().normalise(images)
    assert torch.equal(images, before)


def test_without_mean_and_std_pixels_stay():
    images, ours = pixels(2, 3, 4, 5), ViewDataPreprocessor(to_rgb=True)
    assert torch.equal(ours.normalise(images), images.float())
    assert torch.equal(ours.denormalise(images.float()), images)


def test_any_set_of_views():
    ours = preprocessor()
    views = [pixels(4, 3, 8, 8) for _ in range(3)]
    out = ours(dict(inputs=dict(views=views), data_samples=['a']))
    assert out['data_samples'] == ['a'] and set(out['inputs']) == {'views'}
    expected = torch.stack([(view.flip(1) - MEAN) / STD for view in views])
    torch.testing.assert_close(out['inputs']['views'], expected)


def test_what_is_there_for_each_view_comes_with_views_first():
    mask, boxes = torch.rand(4, 2, 8, 8) > 0.5, torch.rand(4, 2, 4)
    views = [pixels(4, 3, 8, 8) for _ in range(2)]
    out = preprocessor()(dict(inputs=dict(views=views, mask=mask, boxes=boxes)))['inputs']
    assert torch.equal(out['mask'][1], mask[:, 1]) and torch.equal(out['boxes'][0], boxes[:, 0])


def test_crops_are_stacked_by_resolution():
    crops = [pixels(4, 3, size, size) for size in (6, 4, 6)]
    views = [pixels(4, 3, 8, 8)]
    large, small = preprocessor()(dict(inputs=dict(views=views, crops=crops)))['inputs']['crops']
    assert large.shape == (2, 4, 3, 6, 6) and small.shape == (1, 4, 3, 4, 4)
    for found, crop in zip([*large, *small], (crops[0], crops[2], crops[1]), strict=True):
        torch.testing.assert_close(found, (crop.flip(1) - MEAN) / STD)


@pytest.mark.parametrize(
    'inputs, found',
    [
        (dict(views=[pixels(4, 3, 8, 8), pixels(4, 3, 8, 6)]), '8 × 6, 8 × 8'),
        (dict(views=[]), 'no views'),
        (dict(mask=pixels(4, 2, 8, 8)), 'no views'),
        (pixels(4, 3, 8, 8), 'no views'),
    ],
)
def test_a_batch_without_views_of_one_size_is_refused(inputs, found):
    with pytest.raises(InputError, match=f'one size, got {found}: make them with MultiView, end'):
        preprocessor()(dict(inputs=inputs))


@pytest.mark.parametrize('channels', [3, 4])
def test_one_of_mean_and_std_is_refused(channels):
    for name in ('mean', 'std'):
        with pytest.raises(InputError, match='one of mean and std: give both or none'):
            ViewDataPreprocessor(**{name: [1.0] * channels})


def test_other_channels_than_three_keep_their_order():
    mean, images = torch.tensor([1.0, 2, 3, 4]).view(4, 1, 1), pixels(2, 4, 5, 5)
    ours = ViewDataPreprocessor(mean.flatten().tolist(), [2.0] * 4)
    found = ours.normalise(images)
    torch.testing.assert_close(found, (images - mean) / 2)
    assert torch.equal(ours.denormalise(found), images)


def test_touched_patches_are_told_where_the_model_reconstructs():
    mask = torch.zeros(2, 2, 8, 8, dtype=torch.bool)  # (B,V,H,W)
    mask[0, 1, 5, 2] = mask[1, 0, 0, 7] = True
    data = dict(inputs=dict(views=[torch.zeros(2, 3, 8, 8, dtype=torch.uint8)] * 2, mask=mask))
    preprocessor = ViewDataPreprocessor()
    assert 'touched' not in preprocessor(data)['inputs']
    preprocessor.patch_size = 4
    # Views first: image 1 of view 0, its second patch; image 0 of view 1, its third.
    assert preprocessor(data)['inputs']['touched'].tolist() == [4 + 1, 8 + 2]
