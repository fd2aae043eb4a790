# A small vision transformer for a first look, a few minutes on two CPU cores: tools/quickstart.sh.
# The method is that of the other configs; size and schedule are ours.
_base_ = [
    '../_base_/models/mmc_vitt.py',
    '../_base_/datasets/views_224.py',
    '../_base_/schedules/mmc_adamw.py',
    '../_base_/pretrain_runtime.py',
]
size, patch = 64, 8
model = dict(
    backbone=dict(img_size=size, patch_size=patch, arch=dict(num_layers=4)),
    rec_head=dict(patch_size=patch),
    momentum=0.99,
)

crop = dict(type='ViewCrop', size=size, scale=(0.2, 1.0))
view1 = [crop, *_base_.colour]
view2 = [crop, *_base_.colour, dict(type='ViewSolarize', prob=0.2)]
train_pipeline = [
    dict(type='LoadImage'),
    dict(type='MultiView', num_views=[1, 1], transforms=[view1, view2]),
    dict(type='GMMLMask', align=patch),
    dict(type='PackViews'),
]
train_dataloader = dict(
    batch_size=10,  # no more than the ten photographs, or an image would be its own negative
    num_workers=2,
    # An epoch is 300 samples, of however few or many images.
    sampler=dict(_delete_=True, type='FixedLengthSampler', length=300),
    dataset=dict(pipeline=train_pipeline),
)
optim_wrapper = dict(optimizer=dict(lr=1.5e-3))
auto_scale_lr = dict(enable=False)
train_cfg = dict(max_epochs=30)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-2, by_epoch=True, end=2, convert_to_iter_based=True),
    dict(
        type='CosineAnnealingLR', eta_min=1e-6, by_epoch=True, begin=2, convert_to_iter_based=True
    ),
]
default_hooks = dict(
    logger=dict(interval=5),
    checkpoint=dict(interval=5, max_keep_ckpts=1),
    features=dict(
        type='FeatureMonitorHook', interval=5, unlabelled_images=128, resize=size, crop=size
    ),
    reconstruction=dict(interval=10),
)
