import numpy as np
import pytest
import torch
import torch.nn.functional as F
from skimage.filters import threshold_otsu

from mmc_plugin.evaluation.functional import prompt_masks
from mmc_plugin.evaluation.functional.prompt_masks import (
    iou_from_counts,
    otsu_threshold,
    pixel_codes,
    prompt_similarity,
    threshold_counts,
)
from mmc_plugin.structures.image_frame import ImageFrame

THRESHOLDS = torch.arange(-4, 19) * 0.05


def case(seed=0, prompts=5, masks=3, height=33, width=47, grid=(6, 7)):
    generator = torch.Generator().manual_seed(seed)
    maps = torch.rand(prompts, *grid, generator=generator) * 2 - 1
    target = torch.rand(masks, height, width, generator=generator) < 0.4
    ignore = torch.rand(height, width, generator=generator) < 0.2
    owner = torch.randint(masks, (prompts,), generator=generator)
    return maps, target, ignore, owner


def naive(maps, target, ignore, owner, thresholds):
    """One prompt, one threshold at a time, in NumPy."""
    size = target.shape[1:]
    iou = np.zeros((len(maps), len(thresholds)))
    for p in range(len(maps)):
        full = F.interpolate(maps[p][None, None], size, mode='bilinear')[0, 0].numpy()
        mask = target[owner[p]].numpy()
        keep = np.ones(size, bool) if ignore is None else ~ignore.numpy()
        for t, threshold in enumerate(thresholds.numpy()):
            predicted = full > threshold
            iou[p, t] = (predicted & mask & keep).sum() / ((predicted | mask) & keep).sum()
    return iou


def fast(maps, target, ignore, owner, thresholds, frame=None):
    frame = frame or ImageFrame(*target.shape[1:], 64)
    codes = pixel_codes(target, ignore)
    inside, outside = threshold_counts(maps, codes, owner, thresholds, frame)
    return iou_from_counts(inside, outside, (codes == 1).sum((1, 2))[owner])


@pytest.mark.parametrize('with_ignore', [True, False])
@pytest.mark.parametrize('pixels', [1, 4000, 1 << 22])
def test_all_thresholds_equal_a_naive_loop(with_ignore, pixels, monkeypatch):
    monkeypatch.setattr(prompt_masks, 'PIXELS_AT_ONCE', pixels)  # chunks of 1, 2 and all prompts
    maps, target, ignore, owner = case()
    ignore = ignore if with_ignore else None
    expected = naive(maps, target, ignore, owner, THRESHOLDS)
    np.testing.assert_allclose(fast(maps, target, ignore, owner, THRESHOLDS), expected, atol=1e-12)


def test_a_threshold_itself_is_not_predicted():
    maps = torch.full((1, 2, 2), 0.25)
    counts = threshold_counts(
        maps,
        torch.ones(1, 4, 4, dtype=torch.int32),
        torch.tensor([0]),
        torch.tensor([0.2, 0.25, 0.3]),
        ImageFrame(4, 4, 4),
    )
    assert counts[0].tolist() == [[16, 0, 0]] and counts[1].tolist() == [[0, 0, 0]]


def test_no_prompt_gives_no_row():
    _, target, ignore, _ = case()
    none = torch.zeros(0, dtype=torch.long)
    assert fast(torch.zeros(0, 6, 7), target, ignore, none, THRESHOLDS).shape == (0, 23)


def test_working_memory_does_not_grow_with_prompts(monkeypatch):
    shapes = []
    real = ImageFrame.upsample
    monkeypatch.setattr(
        ImageFrame, 'upsample', lambda self, maps: shapes.append(len(maps)) or real(self, maps)
    )
    monkeypatch.setattr(prompt_masks, 'PIXELS_AT_ONCE', 3 * 33 * 47)
    fast(*case(prompts=50), THRESHOLDS)
    assert max(shapes) == 3 and sum(shapes) == 50


def test_similarity_is_the_cosine_to_the_prompted_token():
    tokens = torch.randn(3, 4, 5, generator=torch.Generator().manual_seed(0))
    found = prompt_similarity(tokens, torch.tensor([0, 7]))
    expected = [F.cosine_similarity(tokens, tokens[i, j], dim=-1) for i, j in ((0, 0), (1, 3))]
    torch.testing.assert_close(found, torch.stack(expected))


def test_one_hot_features_give_the_object_and_identical_ones_everything():
    label = torch.tensor([[0, 0, 1, 1], [0, 2, 2, 1], [2, 2, 2, 2]])
    frame = ImageFrame(24, 32, 64)
    target = torch.stack([label == k for k in range(3)])
    target = target.repeat_interleave(8, 1).repeat_interleave(8, 2)
    owner, cells = torch.arange(3), torch.tensor([1, 2, 5])
    coarse = ImageFrame(3, 4, 64)  # IoU on the grid itself: upsampling blurs edges
    maps = prompt_similarity(F.one_hot(label).float(), cells)
    exact = fast(maps, target[:, ::8, ::8], None, owner, THRESHOLDS, coarse)
    assert (exact[:, 4:] == 1).all()
    assert (fast(maps, target, None, owner, THRESHOLDS, frame)[:, 14] > 0.75).all()  # tau = .5

    same = prompt_similarity(torch.ones(3, 4, 8), cells)
    everything = target.float().mean((1, 2)).double()
    torch.testing.assert_close(
        fast(same, target, None, owner, THRESHOLDS, frame), everything[:, None].expand(3, 23)
    )


def test_otsu_equals_skimage():
    generator = torch.Generator().manual_seed(3)
    maps = torch.randn(4, 30, 30, generator=generator)
    maps[1, :10] += 4
    maps[2] = maps[2].abs() * 1e-3
    maps[3] = 0.7
    found = otsu_threshold(maps)
    for k in range(3):
        values = maps[k].numpy().astype(np.float64)
        width = (values.max() - values.min()) / 256
        assert abs(found[k].item() - threshold_otsu(values)) < 1.01 * width
    assert found[3].item() == pytest.approx(0.7)
