"""Every config builds, and those of Table 3 are what the paper says."""

from pathlib import Path

import pytest
import torch
from torch import nn

pytest.importorskip('mmseg')

from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmseg.registry import HOOKS, METRICS, MODELS, TRANSFORMS

CONFIGS = Path(__file__).parents[2] / 'configs' / 'segmentation'
FILES = sorted(path.name for path in CONFIGS.glob('*.py'))
TABLE3 = [
    f'vit{size}_{data}_linear_40k.py'
    for size in 'sb'
    for data in ('ade20k', 'cityscapes', 'voc12aug')
]
CLASSES = dict(ade20k=150, cityscapes=19, voc12aug=21, camvid=11)


def load(name):
    cfg = Config.fromfile(CONFIGS / name)
    init_default_scope(cfg.default_scope)
    return cfg


def datasets(cfg):
    """Configs of the host's datasets inside a config."""
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        for each in loader.dataset.get('datasets', [loader.dataset]):
            assert each.type == 'CheckedSegDataset'
            yield each.dataset


def test_the_promised_configs_exist():
    assert {*TABLE3, 'vits_camvid_linear.py', 'vitt_camvid_linear.py'} <= set(FILES)
    assert {'vitt_camvid_linear_cached.py', 'vits14_camvid_linear.py'} <= set(FILES)


@pytest.mark.parametrize('name', FILES)
def test_everything_builds(name):
    cfg = load(name)
    with torch.device('meta'):
        model = MODELS.build(cfg.model)
    for dataset in datasets(cfg):
        for step in dataset.pipeline:
            TRANSFORMS.build(step)
    for hook in cfg.default_hooks.values():
        HOOKS.build(hook)
    METRICS.build(cfg.test_evaluator)
    assert cfg.optim_wrapper.precision == 'auto'
    assert model.num_classes == CLASSES[name.split('_')[1]]
    assert {n.split('.')[0] for n, p in model.named_parameters() if p.requires_grad} == {
        'decode_head'
    }
    width = model.backbone.embed_dims * len(model.backbone.out_indices)
    assert model.decode_head.conv_seg.weight.shape[1] == width
    divisor = cfg.model.data_preprocessor.get('size_divisor') or 512
    patch = model.backbone.patch_embed.projection.kernel_size[0]
    assert divisor % patch == 0 and model.backbone.img_size[0] % patch == 0


@pytest.mark.parametrize('name', TABLE3)
def test_the_papers_numbers(name):
    cfg = load(name)
    assert cfg.model.type == 'EncoderDecoder'
    backbone, head = cfg.model.backbone, cfg.model.decode_head
    assert backbone.arch == ('deit-small' if name.startswith('vits') else 'deit-base')
    assert backbone.patch_size == 16 and tuple(backbone.out_indices) == (5, 7, 9, 11)
    assert backbone.frozen is True
    assert head.norm_cfg.type == 'SyncBN' and head.dropout_ratio == 0
    assert head.loss_decode.type == 'CrossEntropyLoss'
    assert cfg.model.test_cfg == dict(mode='slide', crop_size=(512, 512), stride=(341, 341))
    assert cfg.optim_wrapper.optimizer == dict(
        type='AdamW', lr=1e-4, betas=(0.9, 0.999), weight_decay=0.05
    )
    assert 'clip_grad' not in cfg.optim_wrapper
    warmup, poly = cfg.param_scheduler
    assert warmup.end == poly.begin == 1500 and cfg.train_cfg.max_iters == 40000
    assert 'end' not in poly  # the end of the run
    assert poly.power == 1.0
    assert cfg.train_dataloader.batch_size == 4 and cfg.auto_scale_lr.base_batch_size == 16
    for dataset in list(datasets(cfg))[:-2]:  # those of the training
        steps = {step.type: step for step in dataset.pipeline}
        assert steps['RandomCrop'].crop_size == (512, 512)
        assert {'RandomFlip', 'PhotoMetricDistortion'} <= set(steps)


def test_voc_is_trained_on_both_lists():
    lists = [dataset.ann_file for dataset in datasets(load('vits_voc12aug_linear_40k.py'))]
    assert [Path(each).stem for each in lists] == ['train', 'aug', 'val', 'val']


def test_cached_configs_have_nothing_random():
    cached = [cfg for cfg in map(load, FILES) if cfg.model.type == 'CachedEncoderDecoder']
    assert cached
    for cfg in cached:
        first, *_ = datasets(cfg)
        assert not any(step.type.startswith(('Random', 'Photo')) for step in first.pipeline)


def test_camvid_needs_no_gpu():
    for name in [name for name in FILES if 'camvid' in name]:
        with torch.device('meta'):
            model = MODELS.build(load(name).model)
        norms = [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
        assert norms and not any(isinstance(m, nn.SyncBatchNorm) for m in norms)
