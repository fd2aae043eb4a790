"""The family's configs against the numbers of the releases."""

from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import PARAM_SCHEDULERS, init_default_scope
from mmpretrain.registry import MODELS, TRANSFORMS

CONFIGS = Path(__file__).parents[2] / 'configs'
STEPS = 10  # of an epoch


def load(name: str) -> Config:
    cfg = Config.fromfile(CONFIGS / name)
    init_default_scope(cfg.default_scope)
    return cfg


def last_values(cfg: Config) -> tuple[list[float], list[float]]:
    """Learning rates and weight decays (of a decayed and another group) after all but one step."""
    options = cfg.optim_wrapper.optimizer
    weights = [torch.nn.Parameter(torch.zeros(1)) for _ in range(2)]
    optimizer = torch.optim.AdamW(
        [dict(params=weights[:1]), dict(params=weights[1:], weight_decay=0.0)],
        lr=options.lr, weight_decay=options.weight_decay,
    )  # fmt: skip
    optimizer.step()
    schedulers = [
        PARAM_SCHEDULERS.build(dict(each), default_args=dict(optimizer=optimizer,
                                                             epoch_length=STEPS))
        for each in cfg.param_scheduler
    ]  # fmt: skip
    for _ in range(cfg.train_cfg.max_epochs * STEPS - 1):
        for each in schedulers:
            each.step()
    groups = optimizer.param_groups
    return [g['lr'] for g in groups], [g['weight_decay'] for g in groups]


def test_msns_schedules_end_where_those_of_the_release_do():
    cfg = load('msn/vits_in1k_800e.py')
    rates, decays = last_values(cfg)
    assert rates[0] == pytest.approx(9.9e-5, rel=0.02)
    assert decays == [pytest.approx(0.366, abs=5e-4), 0.0]
    with torch.device('meta'):
        model = MODELS.build(cfg.model)
    assert model.momentum_at(1000, 1000) == pytest.approx(0.9992)
    assert model.momentum_at(500, 1000) == pytest.approx(0.9976)
    assert not cfg.auto_scale_lr.enable


@pytest.mark.parametrize(
    'name, decay', [('dino/vits_in1k_100e', 0.4), ('ibot/vits_in1k_800e', 0.4),
                    ('mcssl/vits_in1k_800e', 0.4), ('sit/vits_in1k_800e', 0.1)],
)  # fmt: skip
def test_the_dino_line_shares_its_schedule(name, decay):
    cfg = load(f'{name}.py')
    cfg.train_cfg.max_epochs = 100
    cfg.param_scheduler[1].end = cfg.param_scheduler[2].end = 100
    rates, decays = last_values(cfg)
    assert rates[0] == pytest.approx(1e-6, rel=0.05) and cfg.optim_wrapper.optimizer.lr == 5e-4
    assert decays == [pytest.approx(decay, rel=1e-3), 0.0]
    assert cfg.optim_wrapper.clip_grad == dict(type='tensor', max_norm=3.0)
    assert cfg.auto_scale_lr == dict(base_batch_size=256, enable=True)
    assert cfg.train_dataloader.batch_size == 64
    assert (cfg.model.momentum, cfg.model.end_momentum) == (0.996, 1.0)


@pytest.mark.parametrize(
    'name, counts, scales, prototypes',
    [
        ('dino/vits_in1k_100e', [1, 1, 8], [(0.4, 1.0), (0.4, 1.0), (0.05, 0.4)], 65536),
        ('ibot/vits_in1k_800e', [1, 1, 10], [(0.25, 1.0), (0.25, 1.0), (0.05, 0.25)], 8192),
        ('mcssl/vits_in1k_800e', [1, 1, 10], [(0.25, 1.0), (0.25, 1.0), (0.05, 0.25)], 8192),
        ('msn/vits_in1k_800e', [2, 10], [(0.3, 1.0), (0.05, 0.3)], 1024),
        ('sit/vits_in1k_800e', [1, 1], [(0.2, 1.0), (0.2, 1.0)], None),
    ],
)
def test_views_and_prototypes_are_those_of_the_releases(name, counts, scales, prototypes):
    cfg = load(f'{name}.py')
    views = cfg.train_dataloader.dataset.pipeline[1]
    assert list(views.num_views) == counts
    assert [tuple(each[0]['scale']) for each in views.transforms] == scales
    assert [each[0]['size'] for each in views.transforms][-1] == (224 if name[0] == 's' else 96)
    found = cfg.model.get('num_prototypes', cfg.model.get('head', {}).get('num_prototypes'))
    assert found == prototypes


def test_masks_are_those_of_the_releases():
    block = TRANSFORMS.build(load('ibot/vits_in1k_800e.py').train_dataloader.dataset.pipeline[2])
    assert block.ratios == [(0.0, 0.0), (0.1, 0.5)] and block.shape == 'block'
    drop = TRANSFORMS.build(load('msn/vits_in1k_800e.py').train_dataloader.dataset.pipeline[2])
    assert drop.ratio == 0.15
    for name in ('sit', 'mcssl'):
        gmml = load(f'{name}/vits_in1k_800e.py').train_dataloader.dataset.pipeline[2]
        assert (gmml.noise_ratio, gmml.alien_ratio, gmml.align) == (0.5, 0.3, 1)


def test_batch_norm_is_over_all_gpus_where_the_release_has_it_so():
    names = ('sit/vits_in1k_800e', 'sit/vits_in100_200e', 'msn/vits_in1k_800e')
    for name in (*names, 'mocov3/vits_in1k_300e'):
        assert load(f'{name}.py').sync_bn == 'torch', name


def test_the_small_configs_share_data_schedule_and_batch():
    ours = load('mmc/vitt_caltech101.py')
    for name in 'sit dino ibot mcssl msn maskco mocov3 mae'.split():
        cfg = load(f'{name}/vitt_caltech101.py')
        assert cfg.param_scheduler == ours.param_scheduler, name
        assert cfg.train_cfg == ours.train_cfg, name
        assert cfg.optim_wrapper.optimizer == ours.optim_wrapper.optimizer, name
        assert cfg.train_dataloader.batch_size == ours.train_dataloader.batch_size, name
        assert cfg.model.backbone.arch == ours.model.backbone.arch, name
        assert cfg.model.backbone.img_size == 48 and cfg.model.backbone.patch_size == 12, name
