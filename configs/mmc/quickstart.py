# A small vision transformer for a first look, a few minutes on two CPU cores: tools/quickstart.sh.
# The method is that of the other configs; size and schedule are ours.
_base_ = '../_base_/mmc_vitt_64.py'
train_pipeline = [
    *_base_.train_pipeline[:2],
    dict(type='GMMLMask', align=_base_.patch),
    _base_.train_pipeline[3],
]
train_dataloader = dict(
    batch_size=10,  # no more than the ten photographs, or an image would be its own negative
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
        type='FeatureMonitorHook',
        interval=5,
        unlabelled_images=128,
        resize=_base_.size,
        crop=_base_.size,
    ),
    reconstruction=dict(interval=10),
)
