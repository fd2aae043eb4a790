# Crops of 480², tested by windows of as much.
_base_ = ['./size_512.py']
model = dict(
    data_preprocessor=dict(size=(480, 480), test_cfg=dict(size=(480, 480))),
    backbone=dict(img_size=480),
    test_cfg=dict(crop_size=(480, 480), stride=(161, 161)),
)
train_pipeline = [
    *_base_.train_pipeline[:2],
    dict(type='RandomResize', scale=(520, 520), ratio_range=(0.5, 2.0), keep_ratio=True),
    dict(type='RandomCrop', crop_size=(480, 480), cat_max_ratio=0.75),
    *_base_.train_pipeline[4:],
]
test_pipeline = [
    _base_.test_pipeline[0],
    dict(type='Resize', scale=(3840, 480), keep_ratio=True),
    *_base_.test_pipeline[2:],
]
train_dataloader = dict(dataset=dict(dataset=dict(pipeline=train_pipeline)))
val_dataloader = dict(dataset=dict(dataset=dict(pipeline=test_pipeline)))
test_dataloader = val_dataloader
