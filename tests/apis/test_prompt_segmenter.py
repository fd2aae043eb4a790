import logging
import time

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmengine.logging import MMLogger
from PIL import Image
from skimage.filters import threshold_otsu

from mmc_plugin.apis.prompt_segmenter import PromptSegmenter
from mmc_plugin.datasets.transforms.loading import UnreadableImageError
from mmc_plugin.models.features import FrozenFeatures
from mmc_plugin.structures.image_frame import ImageFrame

ARCH = dict(embed_dims=16, num_layers=3, num_heads=2, feedforward_channels=32)
VIT = dict(type='PretrainedViT', arch=ARCH, img_size=32, patch_size=8, out_type='raw')
COLOUR = dict(type='PatchColour', patch_size=8)


def scene():
    """A red disc, a green square and a blue ground, 48 × 80 pixels."""
    image = np.zeros((48, 80, 3), np.uint8)
    image[..., 2] = 250
    y, x = np.mgrid[:48, :80]
    disc, square = (y - 24) ** 2 + (x - 20) ** 2 < 15**2, (abs(y - 24) < 14) & (abs(x - 60) < 14)
    image[disc], image[square] = (250, 0, 0), (0, 250, 0)
    return image, disc, square


def iou(a, b):
    return (a & b).sum() / (a | b).sum()


@pytest.fixture
def segmenter():
    return PromptSegmenter(FrozenFeatures(COLOUR, 240))


@pytest.mark.parametrize('fit', ['stretch', 'pad'])
def test_a_click_selects_its_object(fit):
    image, disc, square = scene()
    segmenter = PromptSegmenter(FrozenFeatures(COLOUR, 240, fit))
    for point, target in (((20, 24), disc), ((60, 24), square), ((1, 1), ~(disc | square))):
        found = segmenter.segment(image, point, threshold=0.5)
        assert found.similarity.shape == found.mask.shape == (48, 80)
        assert iou(found.mask, target) > 0.8
        assert np.array_equal(found.mask, found.similarity > 0.5) and found.threshold == 0.5
        assert -1 <= found.similarity.min() and found.similarity.max() <= 1 + 1e-6


@pytest.mark.parametrize('refine', ['guided', 'bilateral'])
@pytest.mark.parametrize('fit', ['stretch', 'pad'])
def test_refined_masks_follow_the_image(refine, fit):
    image, disc, _ = scene()
    coarse = PromptSegmenter(FrozenFeatures(COLOUR, 48, fit))
    plain = coarse.segment(image, (20, 24)).mask
    found = coarse.segment(image, (20, 24), refine=refine)
    assert iou(found.mask, disc) > iou(plain, disc) + 0.03
    assert np.array_equal(found.mask, found.similarity > found.threshold)
    default = PromptSegmenter(FrozenFeatures(COLOUR, 48, fit), refine=refine)
    assert np.array_equal(default.segment(image, (20, 24)).mask, found.mask)
    with pytest.raises(ValueError, match="refine must be None or one of .*, got 'crf'"):
        coarse.segment(image, (20, 24), refine='crf')


def test_a_click_that_selects_everything_says_so(segmenter):
    lines = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())
    MMLogger.get_current_instance().addHandler(handler)
    image, disc, _ = scene()
    try:
        assert not segmenter.segment(image, (20, 24), threshold=0.5).mask.all()
        assert iou(segmenter.segment(image, (20, 24), threshold='otsu').mask, disc) > 0.8
        assert not lines
        found = segmenter.segment(image, (20, 24), threshold=-0.99)
    finally:
        MMLogger.get_current_instance().removeHandler(handler)
    low, high = found.similarity.min(), found.similarity.max()
    (line,) = lines
    assert found.mask.all() and f'from {low:.2f} to {high:.2f}, all above' in line
    assert "'auto' takes the mean token" in line


def test_several_points_add_up_and_negative_ones_take_away(segmenter):
    image, disc, square = scene()
    both = segmenter.segment(image, [(20, 24), (60, 24)], threshold=0.5).mask
    assert iou(both, disc | square) > 0.8
    everything = segmenter.segment(image, (20, 24), threshold=-1.1).mask
    assert everything.all()
    less = segmenter.segment(image, [(20, 24), (60, 24)], [1, 0], threshold=-1.1).mask
    assert less[24, 20] and not less[24, 60]
    alone = [
        segmenter.segment(image, point, threshold=0.5).similarity for point in ((20, 24), (60, 24))
    ]
    assert np.array_equal(less, alone[0] > alone[1])


def test_otsu_parts_the_map(segmenter):
    image, disc, _ = scene()
    found = segmenter.segment(image, (20, 24), threshold='otsu')
    assert found.threshold == pytest.approx(threshold_otsu(found.similarity), abs=0.02)
    assert iou(found.mask, disc) > 0.8


def shifted(fit='stretch', shift=6000.0):
    """Colours far from the origin: all cosines above .99, as after a short training."""
    mean = tuple(each - shift for each in (123.675, 116.28, 103.53))
    return PromptSegmenter(FrozenFeatures(COLOUR, 240, fit, mean=mean))


@pytest.mark.parametrize('fit', ['stretch', 'pad'])
def test_the_default_selects_an_object_where_all_cosines_are_high(fit):
    image, disc, square = scene()
    for point, target in (((20, 24), disc), ((60, 24), square), ((1, 1), ~(disc | square))):
        found = shifted(fit).segment(image, point)
        assert iou(found.mask, target) > 0.8 and found.threshold == 0.5
        assert np.array_equal(found.mask, found.similarity > found.threshold)
    fixed = shifted(fit).segment(image, (20, 24), threshold=0.3)
    assert fixed.mask.all() and fixed.similarity.min() > 0.99


def test_the_default_does_not_depend_on_what_all_tokens_share():
    image = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    here, there = (
        shifted(shift=shift).segment(image, (3, 30)).similarity for shift in (0.0, 500.0)
    )
    np.testing.assert_allclose(there, here, atol=1e-3)


@pytest.mark.parametrize('fit, rows', [('stretch', 4), ('pad', 2)])
def test_the_default_is_the_cosine_of_centred_tokens(fit, rows):
    image = np.random.default_rng(1).integers(0, 256, (40, 80, 3), dtype=np.uint8)
    model = FrozenFeatures(VIT, 32, fit)
    found = PromptSegmenter(model).segment(image, (0, 0))
    tokens = model.grid(model.prepare([torch.from_numpy(image).permute(2, 0, 1)]))[0].double()
    centred = tokens - tokens[:rows].mean((0, 1))
    cosine = F.cosine_similarity(centred, centred[0, 0], dim=-1)
    expected = ImageFrame(40, 80, 32, fit).upsample(cosine[None].float())[0]
    np.testing.assert_allclose(found.similarity, expected, atol=1e-4)
    assert cosine[:rows].min() < 0  # centred tokens add up to nothing: never the whole image


def test_the_default_selects_all_of_an_image_of_one_colour(segmenter):
    found = segmenter.segment(np.full((30, 40, 3), 77, np.uint8), (3, 3))
    assert found.mask.all() and found.similarity.min() > 0.99


def test_a_batch_is_its_images_one_by_one(segmenter):
    image = scene()[0]
    other = np.ascontiguousarray(image[:, :50].transpose(1, 0, 2))
    together = segmenter.segment([image, other], [[(20, 24)], [(5, 6), (30, 3)]], [None, [1, 0]])
    fresh = PromptSegmenter(FrozenFeatures(COLOUR, 240))
    for found, expected in zip(
        together,
        [fresh.segment(image, (20, 24)), fresh.segment(other, [(5, 6), (30, 3)], [1, 0])],
        strict=True,
    ):
        np.testing.assert_allclose(found.similarity, expected.similarity, atol=1e-5)
        assert (found.mask == expected.mask).mean() > 0.999


def test_the_similarity_is_the_cosine_to_the_clicked_token():
    image = scene()[0]
    model = FrozenFeatures(VIT, 32)
    found = PromptSegmenter(model).segment(image, (79, 47), threshold=0.3, layer=1)
    pixels = torch.from_numpy(image).permute(2, 0, 1)
    tokens = model.tokens(model.prepare([pixels]), [1])[1][0][0]
    cosine = F.cosine_similarity(tokens, tokens[-1, -1], dim=-1)
    expected = F.interpolate(cosine[None, None], (48, 80), mode='bilinear')[0, 0]
    np.testing.assert_allclose(found.similarity, expected, atol=1e-5)


def count_passes(model):
    passes = []
    model.backbone.register_forward_hook(lambda *_: passes.append(1))
    return passes


def test_an_image_is_encoded_once(tmp_path):
    image = scene()[0]
    model = FrozenFeatures(VIT, 32)
    passes = count_passes(model)
    segmenter = PromptSegmenter(model, cache=2)
    path = tmp_path / 'a.png'
    Image.fromarray(image).save(path)
    for point in ((1, 1), (5, 5), (70, 40)):
        segmenter.segment(image, point)
        segmenter.segment(str(path), point)
    assert len(passes) == 2
    segmenter.segment(image.copy(), (2, 2))  # the content counts
    assert len(passes) == 2
    image[0, 0] = 9
    segmenter.segment(image, (2, 2))
    assert len(passes) == 3
    Image.fromarray(image[:20]).save(path)  # a file that changed
    assert segmenter.segment(path, (2, 2)).mask.shape == (20, 80)
    segmenter.segment(image, (2, 2))
    for keys, more in ((dict(size=64), 1), (dict(layer=0), 1), (dict(stride=4), 4)):
        before = len(passes)
        for _ in range(2):
            segmenter.segment(image, (2, 2), **keys)
        assert len(passes) == before + more
    assert len(segmenter._kept) == 2  # the last used ones
    assert not PromptSegmenter(model, cache=0)._kept


def test_images_with_the_same_numbers_and_other_colours_are_told_apart(segmenter):
    """Palette, mode and orientation are part of a PIL image."""
    grey = Image.fromarray(scene()[0][..., 0])
    palette = grey.copy()
    palette.putpalette(bytes(range(255, -1, -1)) * 3)
    turned = grey.copy()
    turned.getexif()[0x0112] = 6
    maps = [segmenter.segment(each, (3, 3)).similarity for each in (grey, palette, turned)]
    assert maps[2].shape == maps[0].shape[::-1]
    for image, found in zip((grey, palette, turned), maps):
        alone = PromptSegmenter(segmenter.model).segment(image, (3, 3)).similarity
        assert np.array_equal(found, alone)


def test_features_that_are_not_finite_are_refused():
    model = FrozenFeatures(VIT, 32)
    model.backbone.ln1.weight.fill_(float('nan'))
    for threshold in (0.3, 'auto', 'otsu'):
        with pytest.raises(ValueError, match='features of the image are not finite'):
            PromptSegmenter(model).segment(scene()[0], (3, 3), threshold=threshold)
    with pytest.raises(ValueError, match='std must be three numbers .* above 0'):
        FrozenFeatures(VIT, 32, std=(1, 0, 1))


def test_a_further_click_takes_milliseconds():
    """On an image of COCO's size, at the paper's size and grid."""
    segmenter = PromptSegmenter(FrozenFeatures(dict(type='PatchColour', patch_size=16)))
    image = np.random.default_rng(0).integers(0, 256, (480, 640, 3), dtype=np.uint8)
    segmenter.segment(image, (3, 3))
    times = []
    for x in range(7):
        start = time.process_time()
        segmenter.segment(image, (x * 90, 200))
        times.append(time.process_time() - start)
    assert min(times) < 0.05


def test_extract_features_uses_the_model_and_its_size(segmenter):
    image = torch.from_numpy(scene()[0].transpose(2, 0, 1))
    mean = torch.tensor([123.675, 116.28, 103.53])[:, None, None]
    std = torch.tensor([58.395, 57.12, 57.375])[:, None, None]
    for size, keys in ((240, {}), (64, dict(size=64))):
        cls, patches = segmenter.extract_features([scene()[0]] * 2, **keys)
        square = F.interpolate(image[None].float(), (size, size), mode='bilinear', antialias=True)
        colours = F.avg_pool2d((square - mean) / std, 8).permute(0, 2, 3, 1)
        for i in range(2):
            torch.testing.assert_close(patches[:, i], colours, atol=1e-4, rtol=1e-4)
            torch.testing.assert_close(cls[:, i], colours.mean((1, 2)), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    'keys, words',
    [
        (dict(points=(80, 0)), r'\(80.0, 0.0\) lies outside the image: x must be in 0 … 79'),
        (dict(points=(3, 48)), 'lies outside'),
        (dict(points=(-1, 4)), 'lies outside'),
        (dict(points=(float('nan'), 4)), 'lies outside'),
        (dict(points=[]), 'There is no point'),
        (dict(points=(1, 2, 3)), r'shape \(P, 2\)'),
        (dict(points=(3, 3), labels=[0]), 'no point with label 1'),
        (dict(points=(3, 3), labels=[1, 1]), 'Labels must be 1 numbers'),
        (dict(points=(3, 3), labels=[2]), 'Labels must be'),
        (dict(points=(3, 3), threshold=float('nan')), 'or a finite number'),
        (dict(points=(3, 3), threshold='best'), 'or a finite number'),
        (dict(points=(3, 3), threshold=['auto']), 'or a finite number'),
        (dict(points=(3, 3), threshold=None), 'or a finite number'),
        (dict(points=(3, 3), size=0), 'size must be a positive'),
        (dict(points=(3, 3), layer=4), 'Layers are counted'),
        (dict(points=(3, 3), stride=3), 'stride must divide'),
    ],
)
@pytest.mark.parametrize('fit', ['stretch', 'pad'])
def test_bad_input_gets_a_sentence(keys, words, fit):
    segmenter = PromptSegmenter(FrozenFeatures(COLOUR, 64, fit))
    with pytest.raises(ValueError, match=words):
        segmenter.segment(scene()[0], **keys)


def test_lists_must_fit_each_other_and_images_must_be_readable(segmenter, tmp_path):
    with pytest.raises(ValueError, match='2 images need as many .* got 1'):
        segmenter.segment([scene()[0]] * 2, [(3, 3)])
    with pytest.raises(UnreadableImageError, match='no.jpg'):
        segmenter.segment(tmp_path / 'no.jpg', (3, 3))
