import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmengine.structures import BaseDataElement
from PIL import Image

from mmc_plugin.datasets.transforms.loading import UnreadableImageError
from mmc_plugin.models.features import FrozenFeatures
from mmc_plugin.models.video_propagation import VideoPropagation
from mmc_plugin.structures.palette import decode_palette

ARCH = dict(embed_dims=32, num_layers=2, num_heads=2, feedforward_channels=32)
VIT = dict(type='PretrainedViT', arch=ARCH, img_size=32, patch_size=8, out_type='raw')
COLOUR = dict(type='PatchColour', patch_size=8)


def propagation(backbone, **keys):
    return VideoPropagation(FrozenFeatures(backbone), size=64, **keys)


@pytest.mark.parametrize('batch', [1, 4])
def test_objects_that_move_by_whole_patches_are_found_again(video, batch):
    frames, masks = video
    found = list(propagation(COLOUR, batch=batch, radius=3).track(frames, masks[0]))
    assert len(found) == len(frames) and all(each.dtype == np.uint8 for each in found)
    for mask, truth in zip(found, masks, strict=True):
        assert np.array_equal(mask[4::8, 4::8], truth[4::8, 4::8])
        assert (mask == truth).mean() > 0.98  # corners get round by the upsampling


def test_objects_beyond_the_window_are_lost(video):
    frames, masks = video
    jump = [frames[0], frames[4]]
    for radius, seen in ((4, True), (1, False)):
        _, mask = propagation(COLOUR, radius=radius).track(jump, masks[0])
        assert np.array_equal(mask[4::8, 4::8], masks[4][4::8, 4::8]) == seen


def release(model, frames, first, last, radius, topk):
    """The loop of the DINO release, with all pairs of tokens in float64."""
    height, width = first.shape
    rows, columns = (side // 8 for side in model.canvas(height, width))
    place = torch.stack(torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing='ij'))
    place = place.flatten(1).T  # (N, 2)
    near = ((place[:, None] - place).abs() <= radius).all(-1).double()
    small = np.array(Image.fromarray(first).resize((columns, rows), 0))
    label = F.one_hot(torch.from_numpy(small).long().flatten()).T.double()  # (C, N)
    queue, masks = [], [first]
    for t, frame in enumerate(frames):
        assert frame.shape == (rows * 8, columns * 8, 3)  # nothing to resize
        images = model.features.normalise(torch.from_numpy(frame).permute(2, 0, 1)[None])
        tokens = model.features.tokens(images)[1][0].flatten(0, 2).double()
        tokens = F.normalize(tokens, dim=-1)
        if t == 0:
            start = tokens
            continue
        sources = [(start, label), *queue]
        affinity = torch.cat([(each @ tokens.T / 0.1).exp() * near for each, _ in sources])
        affinity[affinity < affinity.topk(topk, dim=0).values.min(0).values] = 0
        affinity /= affinity.sum(0)
        labels = torch.cat([each for _, each in sources], 1) @ affinity  # (C, N)
        queue = [*queue, (tokens, labels)][-last:] if last else []
        maps = labels.view(1, -1, rows, columns)
        maps = F.interpolate(maps, scale_factor=8, mode='bilinear', align_corners=False)[0]
        for each in maps:
            if each.max() > 0:
                each -= each.min()
                each /= each.max()
        masks.append(maps.argmax(0).numpy().astype(np.uint8))
    return masks


@pytest.mark.parametrize('last, radius, topk', [(7, 2, 5), (2, 12, 5), (0, 3, 1)])
def test_equals_the_loop_of_the_release(video, last, radius, topk):
    frames, masks = video
    rng = np.random.default_rng(1)
    frames = [np.clip(each + rng.integers(-20, 20, each.shape), 0, 255) for each in frames]
    frames = [each.astype(np.uint8) for each in frames + frames[::-1]]
    model = propagation(VIT, last=last, radius=radius, topk=topk, batch=3)
    found = list(model.track(iter(frames), masks[0]))
    expected = release(model, frames, masks[0], last, radius, topk)
    assert {0, 1, 2} == set(np.unique(found))
    assert np.mean(np.array(found) == expected) > 0.9999
    assert np.mean(np.array(found[1:]) != masks[0]) > 0.01


def test_values_of_the_mask_are_kept_and_gaps_change_nothing(video):
    frames, masks = video
    model = propagation(VIT)
    plain = list(model.track(frames, masks[0]))
    odd = np.array([0, 200, 7], np.uint8)
    for a, b in zip(model.track(frames, odd[masks[0]]), plain, strict=True):
        assert np.array_equal(a, odd[b])


@pytest.mark.parametrize(
    'patch, size, expected',
    [
        (16, (480, 854), (480, 832)),
        (8, (480, 854), (480, 832)),
        (14, (480, 854), (476, 826)),
        (16, (854, 480), (832, 480)),
        (16, (480, 480), (480, 448)),
        (16, (1080, 1920), (480, 832)),
    ],
)
def test_sizes_are_those_of_the_release(patch, size, expected):
    model = VideoPropagation(FrozenFeatures(dict(COLOUR, patch_size=patch)))
    assert model.canvas(*size) == expected


def test_frames_are_read_as_they_are_needed(video):
    frames, masks = video
    read = []

    def endless():
        while True:
            read.append(len(read))
            yield frames[len(read) % len(frames)]

    tracked = propagation(COLOUR, batch=2).track(endless(), masks[0])
    for number in range(1, 20):
        next(tracked)
        assert len(read) <= number + 1


class Clip:
    """A video whose third frame may be broken."""

    def __init__(self, frames, mask, broken=False):
        self.frames, self.first_mask, self.broken = frames, mask, broken

    def __iter__(self):
        for t, frame in enumerate(self.frames):
            if self.broken and t == 2:
                raise UnreadableImageError('2.jpg', 'truncated')
            yield frame


def test_predictions_are_files_and_broken_videos_are_said(video):
    frames, masks = video
    model = propagation(COLOUR)
    clips = [Clip(frames, masks[0]), Clip(frames, masks[0], broken=True), None]
    reasons = [None, None, ('gone', 'the folder does not exist')]
    samples = [BaseDataElement(metainfo=dict(skipped=each)) for each in reasons]
    good, broken, gone = model.test_step(dict(inputs=clips, data_samples=samples))
    for content, mask in zip(good.masks, model.track(frames, masks[0]), strict=True):
        assert np.array_equal(decode_palette(content), mask)
    assert broken.skipped == ('2.jpg', 'truncated') and 'masks' not in broken
    assert gone.skipped == reasons[2] and 'masks' not in gone


def test_features_are_debiased(video):
    frame = video[0][0]
    model = VideoPropagation(FrozenFeatures(VIT, debias='mean'), size=64)
    (found,) = model._grids(iter([frame]), frame.shape[:2], frame.shape[:2])
    images = model.features.normalise(torch.from_numpy(frame).permute(2, 0, 1)[None])
    tokens = model.features.tokens(images)[1][0][0]
    expected = tokens - model.features.positional('mean', frame.shape[:2])
    torch.testing.assert_close(found, F.normalize(expected, dim=-1))
    assert (found - F.normalize(tokens, dim=-1)).abs().max() > 1e-3


def test_what_cannot_be_done_is_said(video):
    frames, masks = video
    model = propagation(COLOUR)
    with pytest.raises(ValueError, match='first mask has no object'):
        next(model.track(frames, np.zeros((64, 128), np.uint8)))
    with pytest.raises(ValueError, match='must be uint8 of shape .H, W., got float64'):
        next(model.track(frames, masks[0] / 2))
    with pytest.raises(ValueError, match=r'Frame 5 must be uint8 of shape \(64, 128, 3\)'):
        list(model.track([*frames[:5], frames[5][:-1]], masks[0]))
    with pytest.raises(ValueError, match='it is not trained'):
        model([], [], mode='loss')
    for key in ('size', 'multiple', 'topk', 'batch', 'temperature'):
        with pytest.raises(ValueError, match=f'VideoPropagation: {key} must be'):
            VideoPropagation(FrozenFeatures(COLOUR), **{key: 0})
    broken = FrozenFeatures(VIT)
    broken.backbone.ln1.weight.data.fill_(float('nan'))
    with pytest.raises(RuntimeError, match='frames 0 to 3 are not finite'):
        next(VideoPropagation(broken, size=64).track(frames, masks[0]))
