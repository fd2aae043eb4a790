# What the configs of a small ViT at 64² in patches of 8 share: 4 layers, D 192. Sizes are ours.
_base_ = [
    './models/mmc_vitt.py',
    './datasets/views_224.py',
    './schedules/mmc_adamw.py',
    './pretrain_runtime.py',
]
size, patch = 64, 8
model = dict(
    backbone=dict(img_size=size, patch_size=patch, arch=dict(num_layers=4)),
    rec_head=dict(patch_size=patch),
    momentum=0.99,  # a run of some thousand iterations is too short for the paper's .996
)
crop = dict(type='ViewCrop', size=size, scale=(0.2, 1.0))
view1 = [crop, *_base_.colour]
view2 = [crop, *_base_.colour, dict(type='ViewSolarize', prob=0.2)]
train_pipeline = [
    dict(type='LoadImage'),
    dict(type='MultiView', num_views=[1, 1], transforms=[view1, view2]),
    dict(_base_.mask, align=patch),
    dict(type='PackViews'),
]
train_dataloader = dict(num_workers=2, dataset=dict(pipeline=train_pipeline))
