# Crops of 512², tested by windows of as much.
_base_ = ['./vitb16_160k.py']
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
    dataset=dict(type='CheckedSegDataset', dataset=dict(pipeline=train_pipeline))
)
val_dataloader = dict(dataset=dict(type='CheckedSegDataset', dataset=dict(pipeline=test_pipeline)))
test_dataloader = val_dataloader
