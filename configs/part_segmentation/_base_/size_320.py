# Crops of 320², tested by windows of as much.
_base_ = ['./size_512.py']
model = dict(
    data_preprocessor=dict(size=(320, 320), test_cfg=dict(size=(320, 320))),
    backbone=dict(img_size=320),
    test_cfg=dict(crop_size=(320, 320), stride=(161, 161)),
)
train_pipeline = [
    *_base_.train_pipeline[:2],
    dict(type='RandomResize', scale=(1024, 320), ratio_range=(0.5, 2.0), keep_ratio=True),
    dict(type='RandomCrop', crop_size=(320, 320), cat_max_ratio=0.75),
    *_base_.train_pipeline[4:],
]
test_pipeline = [
    _base_.test_pipeline[0],
    dict(type='Resize', scale=(4096, 320), keep_ratio=True),
    *_base_.test_pipeline[2:],
]
train_dataloader = dict(dataset=dict(dataset=dict(pipeline=train_pipeline)))
val_dataloader = dict(dataset=dict(dataset=dict(pipeline=test_pipeline)))
test_dataloader = val_dataloader
