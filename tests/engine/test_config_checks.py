"""Mistakes in configs and on command lines, each with what its sentence has to say."""

import importlib.util
from argparse import ArgumentParser
from pathlib import Path

import pytest
from mmengine.config import Config, DictAction

from mmc_plugin.engine import cli, config_checks
from mmc_plugin.engine.config_checks import arguments, check_config
from mmc_plugin.engine.resumed_config import _find
from mmc_plugin.errors import InputError

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = [
    str(path.relative_to(ROOT / 'configs'))
    for path in sorted((ROOT / 'configs').rglob('*.py'))
    if '_base_' not in path.parts
]
CONFIG = 'mmc/vits_in100_500e.py'

# Option → what the sentence names.
UNREAD = {
    'data_root=/my/images': 'use train_dataloader.dataset.data_root',
    'images=/my/images': 'use train_dataloader.dataset.data_root',
    'seed=3': 'use randomness.seed',
    'max_epochs=3': 'use train_cfg.max_epochs',
    'epochs=3': 'use train_cfg.max_epochs',
    'max_iters=3': 'use train_cfg.max_iters',
    'lr=1': 'use optim_wrapper.optimizer.lr',
    'optimizer.lr=1': 'use optim_wrapper.optimizer.lr',
    'learning_rate=1': 'use optim_wrapper.optimizer.lr',
    'weight_decay=1': 'use optim_wrapper.optimizer.weight_decay',
    'batch_size=1': 'use train_dataloader.batch_size',
    'samples_per_gpu=1': 'use train_dataloader.batch_size',
    'workers=1': 'use train_dataloader.num_workers',
    'precision=fp32': 'use optim_wrapper.precision',
    'fp16=True': 'use optim_wrapper.precision',
    'ema=.9': 'use model.momentum',
    'train_dataloder.batch_size=8': 'did you mean train_dataloader.batch_size',
    'train_dataloader.batchsize=8': 'train_dataloader.batch_size',
    'train_dataloader.num_worker=8': 'train_dataloader.num_workers',
    'train_dataloader.dataset.dataroot=a': 'train_dataloader.dataset.data_root',
    'train_dataloader.sampler.shufle=True': 'train_dataloader.sampler.shuffle',
    'optim_wrapper.optimizer.lrr=1': 'optim_wrapper.optimizer.lr',
    'optim_wrapper.optimizer.weight_decy=1': 'optim_wrapper.optimizer.weight_decay',
    'optim_wrapper.clip_grad.maxnorm=1': 'optim_wrapper.clip_grad.max_norm',
    'optim_wrapper.clipgrad.max_norm=1': 'optim_wrapper.clip_grad',
    'optim_wrapper.accumulative_count=2': 'optim_wrapper.accumulative_counts',
    'param_scheduler.0.ends=3': 'param_scheduler.0.end',
    'param_scheduler.1.eta_minimum=3': 'param_scheduler.1.eta_min',
    'param_scheduler.5.end=3': 'has 2 parts, counted from 0',
    'train_cfg.epochs=3': 'train_cfg.max_epochs',
    'train_cfg.max_epoch=3': 'train_cfg.max_epochs',
    'auto_scale_lr.base_batchsize=3': 'auto_scale_lr.base_batch_size',
    'auto_scale_lr.enabled=True': 'auto_scale_lr.enable',
    'randomness.sed=3': 'randomness.seed',
    'randomness.determinstic=True': 'randomness.deterministic',
    'model.backbon.arch=base': 'model.backbone.arch',
    'model.backbone.drop_path=.1': 'model.backbone.drop_path_rate',
    'model.backbone.imgsize=96': 'model.backbone.img_size',
    'model.backbone.patchsize=8': 'model.backbone.patch_size',
    'model.rec_head.hidden=8': 'model.rec_head.hidden_channels',
    'model.patch_head.temprature=.1': 'model.patch_head.temperature',
    'model.cls_head.out_channel=8': 'model.cls_head.out_channels',
    'model.loss_weight.rec=1': 'model.loss_weights',
    'model.momentums=.9': 'model.momentum',
    'model.teacher_momentum=.9': 'model.momentum',
    'default_hooks.chekpoint.interval=3': 'default_hooks.checkpoint.interval',
    'default_hooks.checkpoint.intervall=3': 'default_hooks.checkpoint.interval',
    'default_hooks.loger.interval=3': 'default_hooks.logger.interval',
    'default_hooks.reconstruction.num_image=3': 'default_hooks.reconstruction.num_images',
    'default_hooks.throughput.windows=3': 'default_hooks.throughput.window',
    'train_dataloader.dataset.pipeline.2.alain=8': 'train_dataloader.dataset.pipeline.2.align',
    'train_dataloader.dataset.pipeline.2.noise_rate=.5': 'pipeline.2.noise_ratio',
    'train_dataloader.dataset.pipeline.9.align=8': 'has 4 parts',
    'logs_level=INFO': 'log_level',
    'work_dirs=a': 'work_dir',
    'lod_from=a.pth': 'load_from',
    'log_level.x=3': "log_level of this config is 'INFO'",
}
WRONG_TYPES = {
    'optim_wraper.type=OptimWrapper': 'did you mean optim_wrapper',
    'optim_wrapper.type=OptimWraper': 'OptimWrapper',
    'optim_wrapper.optimizer.type=AdamWW': 'did you mean AdamW',
    'param_scheduler.1.type=CosineLR': 'is not registered',
    'model.type=MCC': 'did you mean MMC',
    'model.backbone.type=VisionTransformr': 'did you mean VisionTransformer',
    'model.rec_head.type=PixelHead': 'is not registered',
    'train_dataloader.dataset.type=ImageTre': 'did you mean ImageTree',
    'train_dataloader.sampler.type=SeedSampler': 'SeededSampler',
    'train_dataloader.dataset.pipeline.0.type=LoadImg': 'LoadImage',
    'default_hooks.logger.type=LogerHook': 'LoggerHook',
    'default_hooks.more.type=ThroughputHok': 'ThroughputHook',
    'visualizer.type=Visualiser': 'Visualizer',
}
WRONG_VALUES = {
    'auto_scale_lr.base_batch_size=-1': 'a number above 0',
    'auto_scale_lr.base_batch_size=0': 'a number above 0',
    'auto_scale_lr.enable=maybe': 'True or False',
    'optim_wrapper.clip_grad.max_norm=-3': 'a number above 0',
    'optim_wrapper.clip_grad.max_norm=0': 'a number above 0',
    'optim_wrapper.optimizer.lr=0': 'a number above 0',
    'optim_wrapper.optimizer.lr=-1e-3': 'a number above 0',
    'optim_wrapper.optimizer.lr=fast': 'a number above 0',
    'optim_wrapper.optimizer.lr=[1e-3]': 'a number above 0',
    'optim_wrapper.optimizer.weight_decay=-.1': 'a number from 0',
    'optim_wrapper.accumulative_counts=0': 'a whole number from 1',
    'optim_wrapper.accumulative_counts=1.5': 'a whole number from 1',
    'model.backbone.drop_path_rate=2': 'a number from 0 to below 1',
    'model.backbone.drop_path_rate=-.1': 'a number from 0 to below 1',
    'model.backbone.drop_path_rate=1': 'a number from 0 to below 1',
    'model.loss_weights.rec=-1': 'a number from 0',
    'model.loss_weights.cls=much': 'a number from 0',
    'model.patch_head.temperature=0': 'a number above 0',
    'model.cls_head.temperature=-.2': 'a number above 0',
    'train_cfg.max_epochs=0': 'a whole number from 1',
    'train_cfg.max_epochs=-5': 'a whole number from 1',
    'train_cfg.max_epochs=2.5': 'a whole number from 1',
    'train_cfg.max_epochs=many': 'a whole number from 1',
    'train_cfg.max_epochs=True': 'a whole number from 1',
    'train_dataloader.batch_size=0': 'a whole number from 1',
    'train_dataloader.batch_size=-8': 'a whole number from 1',
    'train_dataloader.batch_size=8.5': 'a whole number from 1',
    'train_dataloader.num_workers=-1': 'a whole number from 0',
    'train_dataloader.num_workers=all': 'a whole number from 0',
    'train_dataloader.dataset.data_root=[a,b]': 'the path of one folder',
    'train_dataloader.dataset.data_root=3': 'the path of one folder',
    'default_hooks.logger.interval=often': 'a whole number',
    'default_hooks.checkpoint.interval=1.5': 'a whole number',
    'resume=maybe': 'True or False',
    'resume=1': 'True or False',
    'load_from=3': 'the path of a checkpoint',
    'randomness.seed=-1': 'a whole number from 0',
    'randomness.seed=abc': 'a whole number from 0',
}


def options(text: str) -> dict:
    """As ``--cfg-options`` reads them."""
    parser = ArgumentParser()
    parser.add_argument('--o', nargs='+', action=DictAction)
    return parser.parse_args(['--o', *text.split()]).o


@pytest.mark.parametrize('name', CONFIGS)
def test_our_own_configs_pass(name):
    cli.load_config(name, None)


@pytest.mark.parametrize('option, words', [*UNREAD.items(), *WRONG_TYPES.items()])
def test_what_nothing_reads_is_named_with_what_was_meant(option, words):
    key = option.partition('=')[0]
    with pytest.raises(InputError) as error:
        cli.load_config(CONFIG, options(option))
    assert words in str(error.value) and '\n' not in str(error.value)
    assert key.partition('.')[0] in str(error.value) and len(str(error.value)) < 400


@pytest.mark.parametrize('option', ['seed=3', 'model.backbone.drop_path=.1', 'lr=0'])
def test_strictness_can_be_turned_off(option):
    cfg = cli.load_config(CONFIG, options(option), strict=False)
    for key, value in options(option).items():
        assert _find(cfg, key) == value


@pytest.mark.parametrize('option, words', WRONG_VALUES.items())
def test_values_that_would_void_a_training_are_refused(option, words):
    key, _, value = option.partition('=')
    with pytest.raises(InputError) as error:
        cli.load_config(CONFIG, options(option))
    assert str(error.value).startswith(f'{key} is ') and words in str(error.value)


@pytest.mark.parametrize(
    'option',
    [
        'model.momentum=0.9', 'optim_wrapper.precision=fp32', 'train_dataloader.prefetch_factor=4',
        'default_hooks.x.type=ThroughputHook default_hooks.x.window=5', 'custom_hooks=[]',
        'sync_bn=torch', 'compile=True', 'env_cfg.dist_cfg.timeout=3', 'default_hooks.timer=None',
        'default_hooks.logger.interval=-1', 'optim_wrapper.accumulative_counts=4',
        'model.data_preprocessor.mean=[1,2,3]', 'train_cfg.val_interval=3',
        'optim_wrapper.type=OptimWrapper', 'optim_wrapper.type=AmpOptimWrapper',
        'optim_wrapper.optimizer.betas=(.9,.95)', 'model.backbone.arch.num_layers=2',
    ],
)  # fmt: skip
def test_what_is_meant_passes(option):
    config = CONFIG if 'arch.' not in option else 'mmc/vitt_caltech101.py'
    cfg = cli.load_config(config, options(option))
    for key, value in options(option).items():
        assert _find(cfg, key) == value


def test_a_work_dir_that_is_a_file_is_refused(tmp_path):
    (tmp_path / 'file').write_text('')
    with pytest.raises(InputError, match='work_dir is .*the path of a folder, and not of a file'):
        cli.load_config(CONFIG, None, work_dir=str(tmp_path / 'file'))


def test_a_slip_in_a_config_file_is_found(tmp_path, monkeypatch):
    path = tmp_path / 'config.py'
    path.write_text(f'_base_ = [{str(ROOT / "configs" / CONFIG)!r}]\nparam_sheduler = []\n')
    said = []
    monkeypatch.setattr(config_checks, 'print_log', lambda text, *rest: said.append(text))
    cli.load_config(str(path), None)  # may be a variable of the user's own
    assert said == [
        'The config has param_sheduler, which nothing reads: was param_scheduler meant?'
    ]
    path.write_text(f'_base_ = [{str(ROOT / "configs" / CONFIG)!r}]\nmodel = dict(momentm=1)\n')
    with pytest.raises(InputError, match='model.momentm: MMC has no such argument.*momentum'):
        cli.load_config(str(path), None)


def test_helper_variables_of_configs_are_no_mistakes():
    check_config(Config(dict(size=3, crop=dict(a=1), view=[dict(no_type=1)])))


@pytest.mark.parametrize('host', ['mmpretrain', 'mmseg'])
def test_configs_of_the_hosts_pass(host):
    folder = Path(importlib.util.find_spec(host).origin).parent / '.mim' / 'configs'
    paths = [path for path in sorted(folder.rglob('*.py')) if '_base_' not in path.parts]
    for path in paths[:: len(paths) // 12]:
        cli.load_config(str(path), {'train_dataloader.batch_size': 1, 'model.backbone.any': 2})


def test_arguments_of_parents_count():
    class Parent:
        def __init__(self, a, *, b=1): ...

    class Child(Parent):
        def __init__(self, c, **kwargs): ...

    class Open:
        def __init__(self, d, **kwargs): ...

    assert arguments(Child).names == {'a', 'b', 'c'} and not arguments(Child).others
    assert arguments(Open).others and arguments(Open).take('anything')
    assert not arguments(Child).take('anything')
