import json

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmengine.dataset import pseudo_collate
from pycocotools.coco import COCO

from mmc_plugin.datasets.coco_prompts import CocoPrompts
from mmc_plugin.evaluation.functional.refinement import refine_maps
from mmc_plugin.evaluation.metrics.prompt_iou import THRESHOLDS, PromptIoU
from mmc_plugin.models.features import FrozenFeatures

PIPELINE = [
    dict(type='LoadImage'),
    dict(type='DrawPrompts', grid=6, repeats=3),
    dict(type='PackPrompts'),
]
PURE = dict(mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))  # red, green and blue are one-hot then


def box(left, top, right, bottom):
    return [[left, top, right, top, right, bottom, left, bottom]]


def write(root, images, annotations):
    """COCO's layout from {id: pixels} and [(image, category, segmentation, crowd)]."""
    (root / 'annotations').mkdir()
    (root / 'val2017').mkdir()
    for key, pixels in images.items():
        cv2.imwrite(str(root / 'val2017' / f'{key}.png'), pixels[..., ::-1])
    content = dict(
        images=[
            dict(id=key, file_name=f'{key}.png', height=pixels.shape[0], width=pixels.shape[1])
            for key, pixels in images.items()
        ],
        categories=[dict(id=k, name=name) for k, name in ((3, 'cat'), (5, 'dog'), (9, 'owl'))],
        annotations=[
            dict(id=n, image_id=i, category_id=c, segmentation=s, iscrowd=crowd)
            for n, (i, c, s, crowd) in enumerate(annotations, 1)
        ],
    )
    (root / 'annotations' / 'instances_val2017.json').write_text(json.dumps(content))


def noisy(root):
    rng = np.random.default_rng(0)
    images = {
        key: cv2.resize(rng.integers(0, 256, (5, 5, 3), dtype=np.uint8), size)
        for key, size in ((1, (50, 40)), (2, (33, 61)), (4, (48, 48)))
    }
    write(
        root,
        images,
        [
            (1, 3, box(3, 3, 20, 30), 0),
            (1, 3, box(30, 10, 45, 20), 0),
            (1, 5, box(15, 15, 35, 39), 0),
            (2, 9, box(0, 0, 33, 30), 0),
            (2, 3, box(10, 20, 30, 60), 1),
            (4, 5, box(8, 8, 9, 9), 0),
            (4, 3, box(2, 2, 46, 46), 0),
        ],
    )


def evaluate(dataset, model, metric, batch=2):
    metric.dataset_meta = dataset.metainfo
    for start in range(0, len(dataset), batch):
        items = [dataset[i] for i in range(start, min(start + batch, len(dataset)))]
        batch_of = pseudo_collate(items)
        outputs = model.test_step(batch_of)
        metric.process(batch_of, [each.to_dict() for each in outputs])
    return metric.evaluate(len(dataset))


def naive(root, dataset, model, thresholds):
    """IoU by prompt: NumPy and pycocotools, one prompt and threshold after the other."""
    coco = COCO(str(root / 'annotations' / 'instances_val2017.json'))
    rows = []
    for i in range(len(dataset)):
        data = dataset[i]
        key = dataset.get_data_info(i)['image_key']
        tokens = model([data['inputs']])[0].numpy()
        unit = tokens / np.linalg.norm(tokens, axis=-1, keepdims=True)
        found = coco.loadAnns(coco.getAnnIds(key))
        height, width = data['inputs'].shape[1:]
        crowd = np.zeros((height, width), bool)
        for each in found:
            if each['iscrowd']:
                crowd |= coco.annToMask(each).astype(bool)
        for target, category in enumerate(
            sorted({each['category_id'] for each in found if not each['iscrowd']})
        ):
            mask = np.zeros((height, width), bool)
            for each in found:
                if each['category_id'] == category and not each['iscrowd']:
                    mask |= coco.annToMask(each).astype(bool)
            for x, y in data['data_samples'].points[target].tolist():
                row = int((int(y) + 0.5) / height * tokens.shape[0])
                column = int((int(x) + 0.5) / width * tokens.shape[1])
                cosine = torch.from_numpy(unit @ unit[row, column])
                full = F.interpolate(cosine[None, None], (height, width), mode='bilinear')
                full = full[0, 0].numpy()
                for t, threshold in enumerate(np.float32(thresholds)):
                    predicted, true = (full > threshold)[~crowd], mask[~crowd]
                    rows.append(
                        (
                            category,
                            mask[~crowd].sum(),
                            t,
                            (predicted & true).sum() / (predicted | true).sum(),
                            true.mean(),
                        )
                    )
    return np.array(rows)


def test_every_number_equals_a_naive_loop(tmp_path):
    noisy(tmp_path)
    dataset = CocoPrompts(str(tmp_path), PIPELINE)
    model = FrozenFeatures(dict(type='PatchColour', patch_size=8), 48)
    metric = PromptIoU(report=(0.3, 0.9))
    scalars = evaluate(dataset, model, metric)
    numbers = metric.numbers
    rows = naive(tmp_path, dataset, model, THRESHOLDS)
    category, size, t, iou, everything = rows.T
    curve = [iou[t == k].mean() for k in range(23)]
    np.testing.assert_allclose(numbers['curve'], curve, atol=1e-3)
    best = int(np.argmax(numbers['curve']))
    assert numbers['best']['threshold'] == THRESHOLDS[best]
    by_repeat = iou.reshape(-1, 3, 23).mean(0)
    np.testing.assert_allclose(numbers['deviation'], by_repeat.std(0, ddof=1), atol=1e-3)
    assert numbers['everything'] == pytest.approx(everything.mean(), abs=1e-6)
    assert scalars['one_click/mIoU@0.9'] == pytest.approx(100 * curve[-1], abs=0.1)
    assert scalars['one_click/mIoU_everything'] == pytest.approx(100 * everything.mean())
    assert (numbers['targets'], numbers['repeats'], numbers['prompts']) == (5, 3, 15)
    for key, name in ((3, 'cat'), (5, 'dog'), (9, 'owl')):
        part = numbers['categories'][name]
        assert part['targets'] == (category == key).sum() / 3 / 23
        for k, threshold in ((10, '0.3'), (22, '0.9')):
            assert part['miou'][threshold] == pytest.approx(
                iou[(category == key) & (t == k)].mean(), abs=2e-3
            )
        assert part['best'] == pytest.approx(iou[(category == key) & (t == best)].mean(), abs=2e-3)
    small = size <= 32**2
    part = numbers['sizes']['small']
    assert part['targets'] == small.sum() / 3 / 23
    assert part['miou']['0.3'] == pytest.approx(iou[small & (t == 10)].mean(), abs=2e-3)
    assert numbers['sizes']['large'] == dict(targets=0)


def painted(root):
    """Objects in one-hot colours whose borders are those of patches of 8 pixels."""
    image = np.zeros((48, 48, 3), np.uint8)
    image[..., 0] = 255
    image[8:24, 8:40] = 0, 255, 0
    image[32:48, 0:24] = 0, 0, 255
    write(root, {1: image}, [(1, 3, box(8, 8, 40, 24), 0), (1, 5, box(0, 32, 24, 48), 0)])
    return CocoPrompts(str(root), PIPELINE)


def test_one_hot_features_find_their_objects_up_to_the_grid(tmp_path):
    dataset = painted(tmp_path)
    found = []
    for patch in (8, 4, 1):
        metric = PromptIoU()
        model = FrozenFeatures(dict(type='PatchColour', patch_size=patch), 48, **PURE)
        evaluate(dataset, model, metric)
        found.append(metric.numbers['miou']['0.4'])
    assert found[0] > 0.85 and found[1] > 0.9 and found[2] == 1


@pytest.mark.parametrize('refine', ['guided', 'bilateral'])
def test_refined_maps_find_objects_beyond_the_grid(tmp_path, refine):
    """Objects whose borders lie inside of patches, which blurs the plain map there."""
    image = np.zeros((48, 48, 3), np.uint8)
    image[..., 0] = 255
    image[5:28, 3:37] = 0, 255, 0
    write(tmp_path, {1: image}, [(1, 3, box(3, 5, 37, 28), 0)])
    dataset = CocoPrompts(str(tmp_path), PIPELINE)
    model = FrozenFeatures(dict(type='PatchColour', patch_size=8), 48, **PURE)
    plain, refined = PromptIoU(), PromptIoU(refine=refine)
    for metric in (plain, refined):
        evaluate(dataset, model, metric)
    assert refined.numbers['best']['miou'] > plain.numbers['best']['miou'] + 0.02
    data = dataset[0]
    tokens = F.normalize(model([data['inputs']])[0], dim=-1)
    mask, curve = data['data_samples'].masks[0], []
    for x, y in data['data_samples'].points[0].long().tolist():
        cosine = (tokens @ tokens[y // 8, x // 8])[None, None]
        full = F.interpolate(cosine, (48, 48), mode='bilinear')[0]
        full = refine_maps(full, data['inputs'], refine, (6, 6))[0]
        curve.append([((full > t) & mask).sum() / ((full > t) | mask).sum() for t in THRESHOLDS])
    np.testing.assert_allclose(refined.numbers['curve'], np.mean(curve, 0), atol=1e-3)
    assert 'refined by' in refined.protocol() and 'refined' not in plain.protocol()
    with pytest.raises(ValueError, match="refine must be None or one of 'guided', 'bilateral'"):
        PromptIoU(refine='crf')


def test_identical_features_predict_everything(tmp_path):
    write(
        tmp_path,
        {1: np.full((40, 60, 3), 90, np.uint8)},
        [
            (1, 3, box(0, 0, 30, 10), 0),
            (1, 5, box(30, 20, 60, 40), 0),
            (1, 9, box(0, 30, 20, 40), 1),
        ],
    )
    metric = PromptIoU()
    model = FrozenFeatures(dict(type='PatchColour', patch_size=8), 48, **PURE)
    evaluate(CocoPrompts(str(tmp_path), PIPELINE), model, metric)
    expected = np.mean([300 / 2200, 600 / 2200])
    np.testing.assert_allclose(metric.numbers['curve'], expected, rtol=1e-6)
    assert metric.numbers['everything'] == pytest.approx(expected)


def test_padding_gives_about_what_stretching_gives(tmp_path):
    dataset = painted(tmp_path)
    results = []
    for fit in ('stretch', 'pad'):
        metric = PromptIoU()
        evaluate(
            dataset, FrozenFeatures(dict(type='PatchColour', patch_size=8), 48, fit, **PURE), metric
        )
        results.append(metric.numbers['curve'])
    np.testing.assert_allclose(*results, atol=0.02)  # the image is square


def test_unusable_images_are_counted_and_the_rest_is_measured(tmp_path):
    noisy(tmp_path)
    (tmp_path / 'val2017' / '2.png').write_bytes(b'broken')
    dataset = CocoPrompts(str(tmp_path), PIPELINE)
    model = FrozenFeatures(dict(type='PatchColour', patch_size=8), 48)
    metric = PromptIoU()
    scalars = evaluate(dataset, model, metric)
    assert metric.numbers['images'] == 2 and scalars['one_click/skipped_images'] == 1
    ((path, reason),) = metric.numbers['skipped_images']
    assert path.endswith('2.png') and 'not an image' in reason
    assert metric.numbers['absent_categories'] == ['owl']

    class Broken(FrozenFeatures):
        def prepare(self, images, size=None):
            out = super().prepare(images, size)
            out[0] = float('nan')
            return out

    metric = PromptIoU()
    evaluate(dataset, Broken(dict(type='PatchColour', patch_size=8), 48), metric, batch=3)
    assert [reason for _, reason in metric.numbers['skipped_images']] == [
        'its features are not finite',
        metric.numbers['skipped_images'][1][1],
    ]
    for name in ('1', '4'):
        (tmp_path / 'val2017' / f'{name}.png').write_bytes(b'broken')
    with pytest.raises(RuntimeError, match='None of the images could be used .3 in all.*1.png'):
        evaluate(dataset, model, PromptIoU())


def test_an_image_that_a_sampler_repeats_counts_once(tmp_path):
    noisy(tmp_path)
    dataset = CocoPrompts(str(tmp_path), PIPELINE)
    model = FrozenFeatures(dict(type='PatchColour', patch_size=8), 48)
    one, two = PromptIoU(), PromptIoU()
    evaluate(dataset, model, one)
    two.dataset_meta = dataset.metainfo
    for i in (2, 0, 1, 0):
        two.process({}, [model.test_step(pseudo_collate([dataset[i]]))[0].to_dict()])
    two.evaluate(4)
    assert np.array_equal(one.numbers['curve'], two.numbers['curve'])


def test_a_reported_threshold_must_be_one_of_the_sweep():
    with pytest.raises(ValueError, match=r'\[0.33\] are not among'):
        PromptIoU(report=[0.1, 0.33])


def test_the_sweep_is_that_of_the_method():
    assert THRESHOLDS[0] == -0.2 and THRESHOLDS[-1] == 0.9
    assert len(THRESHOLDS) == 23 and THRESHOLDS[6] == 0.1
