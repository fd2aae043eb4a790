# Two global views of 224² and their group masks. "paper" is arXiv 2308.11448.
crop = dict(
    type='ViewCrop',
    size=224,  # paper §4
    scale=(0.2, 1.0),  # SiT release
)
colour = [
    dict(type='ViewFlip', prob=0.5),
    dict(
        type='ViewColorJitter',
        brightness=0.4,  # paper §4: jitter (.4, .4, .4)
        contrast=0.4,
        saturation=0.4,
        hue=0.1,  # SiT release
        prob=0.8,  # SiT release
    ),
    dict(type='ViewGrayscale', prob=0.2),  # SiT release
]
# paper §4: blur strength 1.0, solarise .2; SiT release: how they are split between the views.
view1 = [crop, *colour, dict(type='ViewGaussianBlur', prob=1.0)]
view2 = [
    crop,
    *colour,
    dict(type='ViewGaussianBlur', prob=0.1),
    dict(type='ViewSolarize', prob=0.2),
]
mask = dict(
    type='GMMLMask',
    noise_ratio=0.75,  # paper §4
    alien_ratio=0.30,  # paper §4
    alien_prob=0.5,  # SiT release: a fair coin a view
    align=16,  # our choice: whole patches; SiT release: 1
    max_block=0.3,  # SiT release
)
train_pipeline = [
    dict(type='LoadImage'),
    dict(type='MultiView', num_views=[1, 1], transforms=[view1, view2]),
    mask,
    dict(type='PackViews'),
]
# The same for photographs that may be large, which are decoded no larger than the views need.
photograph_pipeline = [
    dict(type='LoadViews', num_views=[1, 1], transforms=[view1, view2]),
    mask,
    dict(type='PackViews'),
]

# The same views, whose colours and blur are drawn here and applied on the device.
device_pipeline = [
    dict(type='LoadViews', num_views=[1, 1], transforms=[view1[:2], view2[:2]]),
    dict(type='DrawColours', transforms=[view1[2:], view2[2:]]),
    mask,
    dict(type='PackViews'),
]

# With ten local crops beside the two views: the *_multicrop.py configs. The paper reports MMC with
# and without them and does not give the numbers; these are of the MC-SSL and iBOT releases.
local_view = [
    dict(type='ViewCrop', size=96, scale=(0.05, 0.25)),
    *colour,
    dict(type='ViewGaussianBlur', prob=0.5),
]
multicrop_pipeline = [
    dict(type='LoadImage'),
    dict(type='MultiView', num_views=[1, 1, 10], transforms=[view1, view2, local_view]),
    mask,
    dict(type='PackViews'),
]

train_dataloader = dict(
    batch_size=48,  # paper §4, a GPU
    num_workers=12,
    persistent_workers=True,
    drop_last=True,
    sampler=dict(type='SeededSampler', shuffle=True),
    collate_fn=dict(type='default_collate'),
    dataset=dict(type='ImageTree', data_root='', pipeline=train_pipeline),
)
