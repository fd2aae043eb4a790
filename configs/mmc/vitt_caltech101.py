# A small ViT on Caltech-101 at 48², patch 12, for machines without a GPU: an hour or two on two
# CPU cores. Sizes and schedule are ours, chosen for what is learned in a minute:
# docs/learning.md.
#   CALTECH101_ROOT=/path/to/caltech101 python tools/train.py configs/mmc/vitt_caltech101.py
# The folder holds train/<class>/*.jpg and val/<class>/*.jpg; labels serve the k-NN monitor only.
_base_ = [
    '../_base_/models/mmc_vitt.py',
    '../_base_/datasets/views_48.py',
    '../_base_/schedules/mmc_adamw.py',
    '../_base_/pretrain_runtime.py',
]
model = dict(
    backbone=dict(img_size=48, patch_size=12),
    rec_head=dict(patch_size=12),
    momentum=0.99,  # a hundred epochs of 53 steps are too few for the paper's .996
)
caltech = '{{$CALTECH101_ROOT:data/caltech101}}'
train_dataloader = dict(dataset=dict(data_root=caltech + '/train'))
optim_wrapper = dict(optimizer=dict(lr=2e-3))  # 1e-3 at a batch of 128
train_cfg = dict(max_epochs=100)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-3, by_epoch=True, end=3, convert_to_iter_based=True),
    dict(
        type='CosineAnnealingLR', eta_min=1e-6, by_epoch=True, begin=3, convert_to_iter_based=True
    ),
]
default_hooks = dict(
    logger=dict(interval=10),
    features=dict(
        type='FeatureMonitorHook',
        interval=5,
        train_dir=caltech + '/train',
        val_dir=caltech + '/val',
        resize=48,
        crop=48,
    ),
)
