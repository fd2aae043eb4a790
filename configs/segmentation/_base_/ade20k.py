# ADE20K, 150 classes. Crops of 512², flip and photometric distortion: the paper's Table 3; the
# sizes before the crop are those of mmsegmentation's ade20k.py.
_base_ = ['./vits16.py', './schedule_40k.py', './runtime.py']
model = dict(decode_head=dict(num_classes=150))
data_root = '{{$ADE20K_ROOT:data/ade/ADEChallengeData2016}}'
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations'),
    dict(type='RandomResize', scale=(2048, 512), ratio_range=(0.5, 2.0), keep_ratio=True),
    dict(type='RandomCrop', crop_size=(512, 512), cat_max_ratio=0.75),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PhotoMetricDistortion'),
    dict(type='PackSegInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(2048, 512), keep_ratio=True),
    dict(type='LoadAnnotations'),  # after Resize: labels keep their size
    dict(type='PackSegInputs'),
]
train_dataloader = dict(
    batch_size=4,
    num_workers=4,
    sampler=dict(type='InfiniteSampler', shuffle=True),
    dataset=dict(
        type='CheckedSegDataset',
        dataset=dict(
            type='ADE20KDataset',  # label 0 is ignored (reduce_zero_label)
            data_root=data_root,
            data_prefix=dict(img_path='images/training', seg_map_path='annotations/training'),
            pipeline=train_pipeline,
        ),
    ),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=4,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='CheckedSegDataset',
        dataset=dict(
            type='ADE20KDataset',
            data_root=data_root,
            data_prefix=dict(img_path='images/validation', seg_map_path='annotations/validation'),
            pipeline=test_pipeline,
        ),
    ),
)
test_dataloader = val_dataloader
