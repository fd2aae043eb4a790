import numpy as np
import pytest

from mmc_plugin.apis import discover_objects
from mmc_plugin.datasets.coco_prompts import CocoPrompts
from mmc_plugin.evaluation.metrics.object_discovery import ObjectDiscovery, box_iou
from mmc_plugin.models.features import FrozenFeatures

from .test_prompt_iou import PURE, box, evaluate, write

PIPELINE = [dict(type='LoadImage'), dict(type='PackPrompts')]


def painted(root, high):
    """Objects in one-hot colours on patches of 8 × ``high`` pixels: one, and two, in an image."""
    first, second = (np.zeros((48, 64, 3), np.uint8) for _ in range(2))
    for image in (first, second):
        image[..., 0] = 255
    first[high : 4 * high, 16:40] = 0, 255, 0
    second[high : 3 * high, 8:40] = 0, 255, 0
    second[4 * high : 5 * high, 40:56] = 0, 0, 255
    write(
        root,
        {1: first, 2: second},
        [
            (1, 3, box(16, high, 40, 4 * high), 0),
            (2, 3, box(8, high, 40, 3 * high), 0),
            (2, 5, box(40, 4 * high, 56, 5 * high), 0),
        ],
    )
    return CocoPrompts(str(root), PIPELINE, by='instance')


@pytest.mark.parametrize('fit, high', [('stretch', 6), ('pad', 8)])  # 48 or 64 pixels to 64
def test_one_hot_features_find_all_objects(tmp_path, fit, high):
    dataset = painted(tmp_path, high)
    model = FrozenFeatures(dict(type='PatchColour', patch_size=8), 64, fit, **PURE)
    one, several = ObjectDiscovery(), ObjectDiscovery(number=2)
    scalars = evaluate(dataset, model, one)
    assert scalars['discovery/corloc'] == 100 and one.numbers['objects'] == 3
    assert one.numbers['recall'] == pytest.approx(2 / 3) and one.numbers['iou'] > 0.95
    evaluate(dataset, model, several)
    assert several.numbers['corloc'] == several.numbers['recall'] == 1
    assert several.numbers['iou'] == one.numbers['iou']


def test_ground_alone_and_crowds(tmp_path):
    image = np.full((48, 64, 3), 90, np.uint8)
    write(tmp_path, {1: image}, [(1, 3, box(16, 8, 40, 32), 0), (1, 3, box(0, 40, 60, 48), 1)])
    dataset = CocoPrompts(str(tmp_path), PIPELINE, by='instance')
    metric = ObjectDiscovery()
    evaluate(dataset, FrozenFeatures(dict(type='PatchColour', patch_size=8), 64, **PURE), metric)
    assert metric.numbers['corloc'] == metric.numbers['iou'] == 0
    assert metric.numbers['images_without_any'] == 1 and metric.numbers['found'] == 0


def test_ious_are_those_of_pixels(tmp_path):
    rng = np.random.default_rng(0)
    for _ in range(20):
        corners = rng.integers(0, 20, (2, 2, 2))
        boxes = [(*each.min(0), *(each.max(0) + 1)) for each in corners]
        drawn = np.zeros((2, 24, 24), bool)
        for canvas, (left, top, right, bottom) in zip(drawn, boxes, strict=True):
            canvas[top:bottom, left:right] = True
        expected = (drawn[0] & drawn[1]).sum() / (drawn[0] | drawn[1]).sum()
        assert box_iou(*boxes) == pytest.approx(expected)


@pytest.mark.parametrize('refine', [None, 'guided', 'bilateral'])
def test_an_object_of_a_photograph(refine):
    image = np.zeros((48, 80, 3), np.uint8)
    image[..., 2] = 250
    y, x = np.mgrid[:48, :80]
    disc = (y - 24) ** 2 + (x - 30) ** 2 < 15**2
    image[disc] = 250, 0, 0
    model = FrozenFeatures(dict(type='PatchColour', patch_size=8), 80)
    (found,) = discover_objects(model, image, refine=refine)
    assert (found.mask & disc).sum() / (found.mask | disc).sum() > (0.9 if refine else 0.8)
    left, top, right, bottom = found.box
    assert abs(np.array([left - 16, top - 10, right - 45, bottom - 39])).max() <= 4
    assert not found.mask[:, :left].any() and found.mask[:, left].any()


def test_wrong_settings_get_a_sentence():
    with pytest.raises(ValueError, match='number must be positive, got 0'):
        ObjectDiscovery(number=0)
    with pytest.raises(ValueError, match='a cosine between -1 and 1, or None for Otsu, got 1.5'):
        ObjectDiscovery(threshold=1.5)
    with pytest.raises(ValueError, match="refine must be None or one of .*'crf'"):
        discover_objects(
            FrozenFeatures(dict(type='PatchColour', patch_size=8), 64),
            np.zeros((9, 9, 3), np.uint8), refine='crf',
        )  # fmt: skip
