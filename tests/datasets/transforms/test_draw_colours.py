import re
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.optim import OptimWrapper
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from mmpretrain.registry import MODELS, TRANSFORMS
from scipy.stats import chisquare, ks_2samp, kstest

from mmc_plugin.datasets.transforms import DrawColours, view_ops
from mmc_plugin.engine.channels import set_in_channels

CONFIGS = Path(__file__).parents[3] / 'configs'
JITTER = dict(type='ViewColorJitter', brightness=0.4, contrast=0.3, saturation=0.2, hue=0.1)
STEPS = [JITTER, dict(type='ViewGrayscale'), dict(type='ViewGaussianBlur', prob=0.6),
         dict(type='ViewSolarize', threshold=100)]  # fmt: skip
IMAGE = np.zeros((8, 8, 3), np.uint8)


def test_numbers_are_what_the_transforms_draw(monkeypatch):
    """Of one seed, through all images and steps; each applied operation is written down."""
    applied = []
    for name in ('gaussian_blur', 'solarize', 'to_grey'):
        monkeypatch.setattr(
            view_ops, name, lambda image, *a, name=name: applied.append((name, *a)) or image
        )
    steps = [TRANSFORMS.build(step) for step in STEPS]
    names = [name for name, _ in steps[0]._STEPS]
    record = [(n, lambda image, f, n=n: applied.append((n, f)) or image) for n in names]
    monkeypatch.setattr(type(steps[0]), '_STEPS', tuple(record))
    apply, draw = Compose(steps), DrawColours([STEPS] * 3)
    seen = set()
    for seed in range(200):
        np.random.seed(seed)
        colours = draw(dict(img=[IMAGE] * 3))['colours']
        assert colours.dtype == np.float32 and colours.shape == (3, 11 + draw.radius)
        np.random.seed(seed)
        for row in colours:
            applied.clear()
            apply(dict(img=IMAGE))
            told = {each[0]: each[1:] for each in applied}
            order = [each[0] for each in applied if each[0] in names]
            factors = [told[name][0] for name in order]
            if order:
                assert [names[int(kind)] for kind in row[:4]] == order
                assert row[4:8].tolist() == np.float32(factors).tolist()
            else:
                assert row[:8].tolist() == [0] * 4 + [1] * 4
            assert row[8] == ('to_grey' in told)
            assert row[9] == told.get('solarize', (256,))[0]
            kernel = view_ops.box_kernel(*told.get('gaussian_blur', (0,)))
            half = kernel[len(kernel) // 2 :]
            assert row[10 : 10 + len(half)].tolist() == half.tolist()
            assert not row[10 + len(half) :].any()
            seen |= set(told)
    assert seen == {*names, 'gaussian_blur', 'solarize', 'to_grey'}


def test_distribution():
    np.random.seed(0)
    colours = DrawColours([STEPS])
    rows = np.concatenate([colours(dict(img=[IMAGE]))['colours'] for _ in range(3000)])
    jittered = rows[:, 7] != 1
    assert abs(jittered.mean() - 0.8) < 0.03
    assert abs(rows[:, 8].mean() - 0.2) < 0.03 and abs((rows[:, 9] == 100).mean() - 0.2) < 0.03
    kinds, factors = rows[jittered, :4].astype(int), rows[jittered, 4:8]
    orders = np.unique(kinds, axis=0, return_counts=True)[1]
    assert len(orders) == 24 and chisquare(orders).pvalue > 1e-3
    for kind, (low, width) in enumerate([(0.6, 0.8), (0.7, 0.6), (0.8, 0.4), (-0.1, 0.2)]):
        assert kstest(factors[kinds == kind], 'uniform', args=(low, width)).pvalue > 1e-3
    middles = [view_ops.box_kernel(s)[len(view_ops.box_kernel(s)) // 2]
               for s in np.random.uniform(0.1, 2, 3000)]  # fmt: skip
    assert abs((rows[:, 10] < 1).mean() - 0.6 * np.mean(np.array(middles) < 1)) < 0.03
    blurred, middles = rows[:, 10][rows[:, 10] < 1], np.array(middles)
    assert ks_2samp(blurred, middles[middles < 1]).pvalue > 1e-3


@pytest.mark.parametrize('widest', [0.05, 0.3, 1, 2, 5.3])
def test_no_kernel_is_wider_than_that_of_the_largest_sigma(widest):
    draw = DrawColours([[dict(type='ViewGaussianBlur', sigma=(0, widest))]])
    lengths = [len(view_ops.box_kernel(sigma)) // 2 for sigma in np.linspace(0, widest, 2000)]
    assert max(lengths) == draw.radius


def config(folder, workers=0, batch=4) -> Config:
    """The shipped config, made small."""
    cfg = Config.fromfile(CONFIGS / 'mmc' / 'vits_folder_device.py')
    init_default_scope(cfg.default_scope)
    cfg.train_dataloader.update(
        batch_size=batch, num_workers=workers, persistent_workers=False, pin_memory=False
    )
    cfg.train_dataloader.dataset.data_root = str(folder)
    views, _, mask, _ = cfg.train_dataloader.dataset.pipeline
    for view in views.transforms:
        view[0].size = 32
    mask.align = 8
    head = dict(in_channels=24, hidden_channels=32)
    arch = dict(_delete_=True, embed_dims=24, num_layers=2, num_heads=2, feedforward_channels=48)
    cfg.merge_from_dict(dict(model=dict(
        backbone=dict(arch=arch, img_size=32, patch_size=8), rec_head=dict(patch_size=8, **head),
        patch_head=head, cls_head=head)))  # fmt: skip
    return cfg


def test_a_training_step_and_workers(photo_folder):
    alone, two = (
        next(iter(Runner.build_dataloader(config(photo_folder, workers).train_dataloader, seed=3)))
        for workers in (0, 2)
    )
    assert alone['inputs']['colours'].shape == (4, 2, 16)
    for key, value in alone['inputs'].items():
        torch.testing.assert_close(two['inputs'][key], value, rtol=0, atol=0)
    cfg = config(photo_folder)
    model = train(cfg, alone)
    plain = dict(inputs={k: v for k, v in alone['inputs'].items() if k != 'colours'})
    changed, before = (model.data_preprocessor(b)['inputs']['views'] for b in (alone, plain))
    assert (changed != before).flatten(2).any(2)[0].all()  # the first view is always blurred


def train(cfg, batch) -> torch.nn.Module:
    """A model after one step."""
    torch.manual_seed(0)
    model = MODELS.build(cfg.model)
    optimizer = torch.optim.SGD(model.backbone.parameters(), lr=0.1)
    before = model.backbone.pos_embed.clone()
    losses = model.train_step(batch, OptimWrapper(optimizer))
    assert len(losses) == 4 and all(torch.isfinite(loss) for loss in losses.values())
    assert (model.backbone.pos_embed != before).any()
    return model


def test_other_channels_leave_out_what_needs_colours(tmp_path):
    values = np.random.RandomState(0).uniform(0, 255, (4, 40, 40, 5)).astype(np.float32)
    for place, image in enumerate(values):
        np.save(tmp_path / f'{place}.npy', (image * 257).astype(np.uint16))
    cfg = config(tmp_path)
    cfg.in_channels = 5
    set_in_channels(cfg)
    batch = next(iter(Runner.build_dataloader(cfg.train_dataloader, seed=3)))
    colours = batch['inputs']['colours']
    assert (colours[..., :4] < 2).all() and not colours[..., 8].any()
    assert (colours[..., 4:8] != 1).any()
    train(cfg, batch)


@pytest.mark.parametrize(
    'transforms, words',
    [
        ([[dict(type='ViewFlip'), JITTER]], 'but got ViewFlip, ViewColorJitter; all else stays in'),
        (STEPS, 'takes a list of steps for each view, [[step, ...], [step, ...]], but got [{'),
        ([[JITTER, JITTER]], 'in this order and each at most once, but got ViewColorJitter, View'),
        ([STEPS, STEPS[::-1]], 'but got ViewSolarize, ViewGaussianBlur, ViewGrayscale, ViewColor'),
    ],
)
def test_steps_that_cannot_be_left_to_the_device(transforms, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        DrawColours(transforms)


def test_a_list_of_steps_for_each_image():
    draw = DrawColours([STEPS, STEPS])
    for images, found in [([IMAGE] * 12, '12'), ([IMAGE], '1'), (IMAGE, 'a single image')]:
        with pytest.raises(ValueError, match=f'for 2 images, local crops too, but got {found};'):
            draw(dict(img=images))
