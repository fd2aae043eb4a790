# Two global views of 48² and their group masks for small images, patch 12.
crop = dict(type='ViewCrop', size=48, scale=(0.2, 1.0))
colour = [
    dict(type='ViewFlip', prob=0.5),
    dict(type='ViewColorJitter', brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1, prob=0.8),
    dict(type='ViewGrayscale', prob=0.2),
]
# No blur: it is meant for 224² and wipes out what 48² can show.
view1 = [crop, *colour]
view2 = [crop, *colour, dict(type='ViewSolarize', prob=0.2)]
train_pipeline = [
    dict(type='LoadImage'),
    dict(type='MultiView', num_views=[1, 1], transforms=[view1, view2]),
    dict(type='GMMLMask', align=12),
    dict(type='PackViews'),
]
# With four local crops, for the methods that take them.
local_view = [dict(type='ViewCrop', size=24, scale=(0.05, 0.25)), *colour]
multicrop_views = dict(type='MultiView', num_views=[1, 1, 4], transforms=[view1, view2, local_view])
train_dataloader = dict(
    batch_size=128,
    num_workers=2,
    persistent_workers=True,
    drop_last=True,
    sampler=dict(type='SeededSampler', shuffle=True),
    collate_fn=dict(type='default_collate'),
    dataset=dict(type='ImageTree', data_root='', pipeline=train_pipeline),
)
