# MoCo v3, mmpretrain's, with the network, the data, the views, the schedule and the batch of
# configs/mmc/vitt_caltech101.py. Its learned projection of pixels stays random, its positions are
# fixed, as in the release.
_base_ = ['../mmc/vitt_caltech101.py']
temperature = 0.2
neck = dict(
    type='NonLinearNeck',
    norm_cfg=dict(type='BN1d'),  # of each GPU; sync_bn=torch makes it one over all
    in_channels=192,
    hid_channels=384,
    out_channels=64,
    num_layers=3,
    with_bias=False,
    with_last_bn=True,
    with_last_bn_affine=False,
    with_last_bias=False,
    with_avg_pool=False,
)
model = dict(
    _delete_=True,
    type='ViewMoCoV3',
    data_preprocessor=_base_.model.data_preprocessor,
    base_momentum=0.01,
    backbone=dict(
        type='MoCoV3ViT',
        arch=_base_.model.backbone.arch,
        img_size=48,
        patch_size=12,
        stop_grad_conv1=True,
    ),
    neck=neck,
    head=dict(
        type='MoCoV3Head',
        predictor=dict(neck, in_channels=64, num_layers=2),
        loss=dict(type='CrossEntropyLoss', loss_weight=2 * temperature),
        temperature=temperature,
    ),
)
train_dataloader = dict(
    dataset=dict(
        pipeline=[
            dict(type='LoadImage'),
            dict(type='MultiView', num_views=[1, 1], transforms=[_base_.view1, _base_.view2]),
            dict(type='PackViews'),
        ]
    )
)
find_unused_parameters = True
