# A small vision transformer on Caltech-101 at 48², patch 12, for machines without a GPU. Its numbers are
# ours, chosen for what rises fastest per minute on two CPU cores: docs/learning.md.
#   python tools/train.py configs/mmc/vitt_caltech101.py
_base_ = [
    '../_base_/models/mmc_vits16.py',
    '../_base_/datasets/views_48.py',
    '../_base_/schedules/mmc_adamw.py',
    '../_base_/default_runtime.py',
]
width = 192
model = dict(
    backbone=dict(
        arch=dict(
            _delete_=True,
            embed_dims=width,
            num_layers=6,
            num_heads=3,
            feedforward_channels=4 * width,
        ),
        img_size=48,
        patch_size=12,
        drop_path_rate=0.0,
    ),
    rec_head=dict(in_channels=width, patch_size=12, hidden_channels=384),
    patch_head=dict(in_channels=width, hidden_channels=384, out_channels=64),
    cls_head=dict(in_channels=width, hidden_channels=384, out_channels=64),
)
caltech = '{{$CALTECH101_ROOT:data/caltech101}}'
train_dataloader = dict(
    batch_size=128,
    num_workers=1,
    dataset=dict(data_root=caltech + '/train'),
)
optim_wrapper = dict(optimizer=dict(lr=2e-3))
train_cfg = dict(max_epochs=100)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-3, by_epoch=True, end=3, convert_to_iter_based=True),
    dict(
        type='CosineAnnealingLR', eta_min=1e-6, by_epoch=True, begin=3, convert_to_iter_based=True
    ),
]
custom_hooks = [
    dict(type='SeedEachIteration'),
    dict(type='MomentumTeacherHook', momentum=0.99, end_momentum=1.0),
    dict(type='LossGuardHook'),
    dict(type='ThroughputHook'),
    dict(type='SkippedImagesHook'),
    dict(
        type='FeatureMonitorHook',
        interval=5,
        train_dir=caltech + '/train',
        val_dir=caltech + '/val',
        resize=48,
        crop=48,
    ),
]
default_hooks = dict(logger=dict(interval=10))
