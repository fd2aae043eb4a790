# CamVid at 480×360, 11 classes: img_dir/{train,val} and ann_dir/{train,val} below CAMVID_ROOT. Whole
# images with flip and photometric distortion; batch and schedule are ours, short enough for a
# machine without a GPU.
_base_ = ['./vits16.py', './runtime.py']
model = dict(decode_head=dict(num_classes=11))
# The *_cached.py configs.
cached = dict(
    type='CachedEncoderDecoder', cache_dir='{{$MMC_FEATURE_CACHE:work_dirs/segmentation_features}}'
)
data_root = '{{$CAMVID_ROOT:data/camvid}}'
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations'),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PhotoMetricDistortion'),
    dict(type='PackSegInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations'),
    dict(type='PackSegInputs'),
]
train_dataloader = dict(
    batch_size=8,
    num_workers=1,
    sampler=dict(type='InfiniteSampler', shuffle=True),
    dataset=dict(
        type='CheckedSegDataset',
        dataset=dict(
            type='CamVidDataset',
            data_root=data_root,
            data_prefix=dict(img_path='img_dir/train', seg_map_path='ann_dir/train'),
            pipeline=train_pipeline,
        ),
    ),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=1,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='CheckedSegDataset',
        dataset=dict(
            type='CamVidDataset',
            data_root=data_root,
            data_prefix=dict(img_path='img_dir/val', seg_map_path='ann_dir/val'),
            pipeline=test_pipeline,
        ),
    ),
)
test_dataloader = val_dataloader
optim_wrapper = dict(
    type='mmpretrain.AutoPrecisionOptimWrapper',
    precision='auto',  # of the training; tests are in fp32
    constructor='mmpretrain.MergedGroupsOptimWrapperConstructor',
    optimizer=dict(type='AdamW', lr=1e-3, betas=(0.9, 0.999), weight_decay=0.05),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-6, by_epoch=False, begin=0, end=50),
    dict(type='PolyLR', power=1.0, eta_min=0.0, by_epoch=False, begin=50),
]
train_cfg = dict(type='IterBasedTrainLoop', max_iters=1000, val_interval=1000)
