"""Mistakes in configs and on command lines, each with what its sentence has to say."""

import importlib.util
import re
from argparse import ArgumentParser
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from mmengine.config import Config, DictAction

from mmc_plugin.engine import cli, config_checks
from mmc_plugin.engine.config_checks import arguments, check_config
from mmc_plugin.engine.config_files import read_config
from mmc_plugin.engine.options import parse_options
from mmc_plugin.engine.resumed_config import _find
from mmc_plugin.errors import InputError

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = [
    str(path.relative_to(ROOT / 'configs'))
    for path in sorted((ROOT / 'configs').rglob('*.py'))
    if '_base_' not in path.parts
    # Those of detection stand on mmdet's, which is not everywhere: tests/detection has them.
    and path.parent.name != 'detection'
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
    'default_hooks.reconstruction.intervals=3': 'default_hooks.reconstruction.interval',
    'default_hooks.reconstruction.num_images=3': 'nothing reads this key',
    'default_hooks.throughput.window=3': 'nothing reads this key',
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


# Of the other kinds of configs, and more of the first: option → what the sentence says.
SEGMENTATION = 'segmentation/vits_camvid_linear.py'
IN_SEGMENTATION = {
    'data_root=/my/camvid': 'only helps to write the config',
    'max_iters=100': 'use train_cfg.max_iters',
    'train_cfg.max_iter=100': 'train_cfg.max_iters',
    'train_cfg.max_iters=0': 'a whole number from 1',
    'train_cfg.max_iters=-4': 'a whole number from 1',
    'train_cfg.val_intervals=3': 'train_cfg.val_interval',
    'train_cfg.val_interval=0': 'a whole number from 1',
    'train_cfg.type=IterBasedTrainLop': 'did you mean IterBasedTrainLoop',
    'model.type=EncoderDecoderr': 'did you mean EncoderDecoder',
    'model.decode_head.num_class=11': 'model.decode_head.num_classes',
    'model.decode_head.num_classes=0.5': 'a whole number from 1',
    'model.decode_head.num_classes=-1': 'a whole number from 1',
    'model.decode_head.num_classes=eleven': 'a whole number from 1',
    'model.decode_head.inchannels=[384]': 'model.decode_head.in_channels',
    'model.decode_head.dropout=.5': 'nothing reads this key',
    'model.decode_head.dropout_ratio=2': 'a number from 0 to below 1',
    'model.decode_head.dropout_ratio=-.5': 'a number from 0 to below 1',
    'model.decode_head.type=LinearHed': 'did you mean LinearHead',
    'model.decod_head.num_classes=11': 'model.decode_head.num_classes',
    'model.backbone.checkpoints=a.pth': 'model.backbone.checkpoint',
    'model.backbone.checkpoint=3': 'a file or a name',
    'model.backbone.out_indexes=(5,7)': 'nothing reads this key',
    'model.backbone.frozzen=True': 'model.backbone.frozen',
    'model.backbone.frozen=maybe': 'True or False',
    'model.backbone.type=mmpretrain.PretrainedVit': 'did you mean PretrainedViT',
    'model.data_preprocessor.means=[1,2,3]': 'model.data_preprocessor.mean',
    'model.test_cfg.strides=(1,1)': 'nothing reads this key',
    'model.test_cfg.mode=slides': 'whole or slide',
    'val_evaluator.type=IoUMetrik': 'is not registered',
    'val_dataloader.batch_sise=2': 'val_dataloader.batch_size',
    'val_dataloader.batch_size=0': 'a whole number from 1',
    'val_dataloader.num_workers=-1': 'a whole number from 0',
    'val_dataloader.sampler.shuffle=no': 'True or False',
    'val_dataloader.dataset.data_rot=/x': 'nothing reads this key',
    'train_dataloader.dataset.pipeline.1.prob=1': 'nothing reads this key',
    'train_dataloader.dataset.dataset.data_prefix.img=/x': 'nothing reads this key',
    'train_dataloader.dataset.dataset.type=CamVidDatset': 'did you mean CamVidDataset',
    'train_dataloader.sampler.type=InfiniteSamplr': 'did you mean InfiniteSampler',
    'train_dataloader.persistent_workers=2': 'True or False',
    'train_dataloader.pin_memory=maybe': 'True or False',
    'train_dataloader.drop_last=perhaps': 'True or False',
    'optim_wrapper.optimizer.type=SDG': 'is not registered',
    'param_scheduler.1.type=PoliLR': 'did you mean PolyLR',
    'param_scheduler.1.powers=.9': 'param_scheduler.1.power',
    'default_hooks.checkpoint.by_epochs=False': 'default_hooks.checkpoint.by_epoch',
    'default_hooks.checkpoint.save_bests=mIoU': 'default_hooks.checkpoint.save_best',
    'env_cfg.dist_cfgs.backend=gloo': 'nothing reads this key',
    'env_cfg.cudnn_benchmarks=True': 'env_cfg.cudnn_benchmark',
    'env_cfg.dist_cfg.backend=glo': 'nccl or gloo',
    'default_scope=mmsegg': 'the name of a host',
}
ZERO_SHOT = 'zero_shot/vits_coco.py'
IN_ZERO_SHOT = {
    'size=480': 'did you mean model.size',
    'model.size=0': 'a whole number from 1',
    'model.size=big': 'a whole number',
    'model.fits=pad': 'did you mean model.fit',
    'model.layer=x': 'a whole number',
    'model.layers=-2': 'did you mean model.layer',
    'model.stride=-4': 'a whole number from 1',
    'model.strides=8': 'did you mean model.stride',
    'checkpoint=a.pth': 'model.backbone.checkpoint',
    'test_dataloader.dataset.ann=a.json': 'test_dataloader.dataset.ann_file',
    'test_dataloader.dataset.type=CocoPrompt': 'did you mean CocoPrompts',
    'test_dataloader.num_workers=two': 'a whole number from 0',
    'test_evaluator.0.type=PromptIou': 'did you mean PromptIoU',
    'test_cfg.types=x': 'nothing reads this key',
    'default_hooks.reports.interval=3': 'nothing reads this key',
    'model.data_preprocessor.std=[0,0,0]': 'a list of numbers above 0',
    'model.data_preprocessor.mean=red': 'a list of numbers',
}
IN_PRETRAINING = {
    'launcher=pytorch': 'is set by --launcher',
    'custom_imports.imports=[nowhere]': 'is read with the file',
    'vis_backends.0.type=X': 'only helps to write the config',
    'crop.size=96': 'only helps to write the config',
    'model=MMC': 'a dict',
    'model.momentum=2': 'a number from 0 to 1',
    'model.momentum=high': 'a number from 0 to 1',
    'model.end_momentum=1.5': 'a number from 0 to 1',
    'model.loss_weights.reconstruction=1': 'nothing reads this key',
    'model.backbone=vit': 'a dict',
    'model.cls_head.hidden_channels=0': 'a whole number from 1',
    'model.patch_head.gather_keys=perhaps': 'True or False',
    'model.data_preprocessor.std=[0,0,0]': 'a list of numbers above 0',
    'model.data_preprocessor.to_rgb=perhaps': 'True or False',
    'train_dataloader.dataset.pipeline=[]': 'a list of transforms',
    'train_dataloader.dataset.pipeline=LoadImage': 'a list of transforms',
    'train_dataloader.sampler.shuffle=maybe': 'True or False',
    'train_dataloader.prefetch_factor=0': 'a whole number from 1',
    'train_dataloader.timeout=-1': 'a number from 0',
    'optim_wrapper.optimizer=AdamW': 'a dict',
    'optim_wrapper.optimizer.lr=None': 'a number above 0',
    'optim_wrapper.optimizer.lr=inf': 'a number above 0',
    'optim_wrapper.optimizer.lr=nan': 'a number above 0',
    'optim_wrapper.optimizer.betas=0.9': 'such as (0.9, 0.999)',
    'optim_wrapper.optimizer.betas=(1.5,0.9)': 'such as (0.9, 0.999)',
    'optim_wrapper.optimizer.eps=tiny': 'a number from 0',
    'optim_wrapper.clip_grad=3': 'a dict',
    'optim_wrapper.clip_grad.max_norm=None': 'a number above 0',
    'optim_wrapper.clip_grad.norm_type=-2': 'a number above 0',
    'optim_wrapper.paramwise_cfg.norm_decay=0': 'paramwise_cfg.norm_decay_mult',
    'optim_wrapper.paramwise_cfg.norm_decay_mult=-1': 'a number from 0',
    'param_scheduler=cosine': 'a dict or a list of dicts',
    'param_scheduler.0.start_factor=2': 'a number from 0 to 1',
    'param_scheduler.0.end=ten': 'a whole number from 1',
    'param_scheduler.0.by_epoch=maybe': 'True or False',
    'param_scheduler.1.begin=-1': 'a whole number from 0',
    'param_scheduler.1.eta_min=-1': 'a number from 0',
    'param_scheduler.1.eta_min=1': 'above optim_wrapper.optimizer.lr',
    'train_cfg=3': 'a dict',
    'train_cfg.max_epochs=None': 'a whole number from 1',
    'train_cfg.by_epoch=maybe': 'True or False',
    'auto_scale_lr=True': 'a dict',
    'default_hooks=[]': 'a dict',
    'default_hooks.teacher=None': 'the teacher of MMC would never move',
    'default_hooks.checkpoint=10': 'a dict',
    'default_hooks.checkpoint.max_keep_ckpts=0': 'or -1 for never',
    'default_hooks.checkpoint.interval=0': 'or -1 for never',
    'custom_hooks=[EMAHook]': 'a dict',
    'custom_hooks=EMAHook': 'a list of dicts',
    'visualizer.vis_backends.0.type=LocalVisBackends': 'did you mean LocalVisBackend',
    'visualizer.vis_backends=TensorboardVisBackend': 'a list of dicts',
    'sync_bn=torchh': 'torch or mmcv',
    'compile=maybe': 'True, False or a dict',
    'find_unused_parameters=maybe': 'True or False',
    'randomness=3': 'a dict',
    'randomness.seed=1.5': 'a whole number from 0',
    'randomness.deterministic=maybe': 'True or False',
    'work_dir=': 'the path of a folder',
    'load_from=': 'the path of a checkpoint',
    'log_level=LOUD': 'DEBUG, INFO',
    'experiment_name=3': 'a name',
    'env_cfg=3': 'a dict',
    'env_cfg.mp_cfg.mp_start_method=forkk': 'fork or spawn',
    'env_cfg.mp_cfg.opencv_threads=1': 'env_cfg.mp_cfg.opencv_num_threads',
    'log_processor.window_sise=3': 'nothing reads this key',
    'log_processor.window_size=0': 'a whole number from 1',
}
IN_MSN = {
    'model.temperature=nan': 'a number above 0',
    'model.temperature=-.1': 'a number above 0',
    'model.entropy_weight=-1': 'a number from 0',
    'model.sinkhorn_rounds=-1': 'a whole number from 0',
    'train_dataloader.dataset.pipeline.2.patch_size=8': 'but model.backbone.patch_size is 16: set',
    'model.backbone.patch_size=8': 'pipeline.2.patch_size is 16, but',
}
IN_SIT = {'model.rec_weight=nan': 'a number from 0'}
OTHERS = [
    (config, option, words)
    for config, table in [
        (SEGMENTATION, IN_SEGMENTATION), (ZERO_SHOT, IN_ZERO_SHOT), (CONFIG, IN_PRETRAINING),
        ('msn/vits_in1k_800e.py', IN_MSN), ('sit/vits_in1k_800e.py', IN_SIT),
    ]
    for option, words in table.items()
]  # fmt: skip


def options(text: str) -> dict:
    """As ``--cfg-options`` reads them."""
    parser = ArgumentParser()
    parser.add_argument('--o', nargs='+', action=DictAction)
    return parser.parse_args(['--o', *text.split()]).o


@pytest.mark.parametrize('name', CONFIGS)
def test_our_own_configs_pass(name):
    found, expected = cli.load_config(name, None), read_config(cli.find_config(name))
    for key, value in expected.items():  # all of it arrives as it is written
        if key not in ('work_dir', 'launcher'):
            assert found[key] == value, key


@pytest.mark.parametrize('option, words', [*UNREAD.items(), *WRONG_TYPES.items()])
def test_what_nothing_reads_is_named_with_what_was_meant(option, words):
    key = option.partition('=')[0]
    with pytest.raises(InputError) as error:
        cli.load_config(CONFIG, options(option))
    assert words in str(error.value) and '\n' not in str(error.value)
    assert key.partition('.')[0] in str(error.value) and len(str(error.value)) < 400


@pytest.mark.parametrize('config, option, words', OTHERS)
def test_mistakes_in_each_kind_of_config(config, option, words):
    with pytest.raises(InputError) as error:
        cli.load_config(config, parse_options([option]))
    said = str(error.value)
    assert words in said and '\n' not in said and len(said) < 500
    assert option.partition('=')[0].rpartition('.')[2] in said or 'teacher' in said


LOADED = cli.load_config(CONFIG, None)
KEYS = sorted(
    key
    for key in config_checks._dotted(dict(LOADED.items()))
    if key.count('.') < 4 and key.partition('.')[0] in config_checks.known_keys()
)


@settings(derandomize=True, max_examples=150, deadline=None)
@given(st.sampled_from(KEYS), st.sampled_from(['cut', 'double', 'swap', 'add']), st.integers(0, 99))
def test_a_slip_in_any_key_is_found(key, kind, place):
    front, _, name = key.rpartition('.')
    at = place % len(name)
    slip = dict(
        cut=name[:at] + name[at + 1 :],
        double=name[: at + 1] + name[at:],
        swap=name[:at] + name[at : at + 2][::-1] + name[at + 2 :],
        add=name + 's',
    )[kind]
    wrong = f'{front}.{slip}'.removeprefix('.')
    assume(slip and not slip.isdigit() and len(name) > 3 and wrong not in KEYS)
    with pytest.raises(InputError, match=re.escape(wrong)):
        config_checks.check_options(LOADED, {wrong: 1})


def test_there_are_two_hundred_of_them():
    here = [(CONFIG, each) for each in (*UNREAD, *WRONG_TYPES, *WRONG_VALUES)]
    assert len({*here, *((config, option) for config, option, _ in OTHERS)}) >= 200


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
        'default_hooks.x.type=StopHook default_hooks.x.interval=5', 'custom_hooks=[]',
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


def test_patches_of_masks_are_by_default_those_of_the_class(tmp_path):
    steps = "[dict(type='LoadImage'), dict(type='PatchDrop'), dict(type='PackViews')]"
    path = tmp_path / 'mine.py'
    base = f'_base_ = [{str(ROOT / "configs/msn/vits_in1k_800e.py")!r}]\n'
    path.write_text(f'{base}train_dataloader = dict(dataset=dict(pipeline={steps}))\n')
    cli.load_config(str(path), None)
    with pytest.raises(InputError, match='pipeline.1.patch_size is 16, but .*patch_size is 8: set'):
        cli.load_config(str(path), {'model.backbone.patch_size': 8})


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


@pytest.mark.parametrize('kind', ['CosineWeightDecay', 'CosineAnnealingMomentum'])
def test_what_is_no_rate_may_end_above_the_rate(tmp_path, kind):
    path = tmp_path / 'mine.py'
    path.write_text(
        f'_base_ = [{str(ROOT / "configs" / CONFIG)!r}]\n'
        f'param_scheduler = [dict(type={kind!r}, eta_min=0.4, convert_to_iter_based=True)]\n'
    )
    (scheduler,) = cli.load_config(str(path), None).param_scheduler
    assert (scheduler.type, scheduler.eta_min) == (kind, 0.4)


def test_helper_variables_of_configs_are_no_mistakes():
    check_config(Config(dict(size=3, crop=dict(a=1), view=[dict(no_type=1)])))


@pytest.mark.parametrize('host', ['mmpretrain', 'mmseg'])
def test_configs_of_the_hosts_pass(host):
    folder = Path(importlib.util.find_spec(host).origin).parent / '.mim' / 'configs'
    paths = [path for path in sorted(folder.rglob('*.py')) if '_base_' not in path.parts]
    for path in paths[:: len(paths) // 12]:
        options = {'train_dataloader.batch_size': 1, 'model.backbone.any': 2}
        cfg = cli.load_config(str(path), options)
        assert cfg.train_dataloader.batch_size == 1 and cfg.model.backbone['any'] == 2


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
