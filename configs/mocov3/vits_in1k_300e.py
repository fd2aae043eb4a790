# MoCo v3, ViT-S/16, ImageNet-1K, 300 epochs: mmpretrain's method and its recipe
# (mocov3_vit-small-p16_16xb256-amp-coslr-300e_in1k.py), on our views and monitor.
_base_ = ['../_base_/datasets/multicrop_224.py', '../_base_/pretrain_runtime.py']
temperature = 0.2
neck = dict(
    type='NonLinearNeck',
    norm_cfg=dict(type='BN1d'),  # with sync_bn below over all GPUs, as the host's by default
    in_channels=384,
    hid_channels=4096,
    out_channels=256,
    num_layers=3,
    with_bias=False,
    with_last_bn=True,
    with_last_bn_affine=False,
    with_last_bias=False,
    with_avg_pool=False,
)
model = dict(
    type='ViewMoCoV3',
    data_preprocessor=dict(
        mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], to_rgb=True, non_blocking=True
    ),
    base_momentum=0.01,
    backbone=dict(
        type='MoCoV3ViT', arch='mocov3-small', img_size=224, patch_size=16, stop_grad_conv1=True
    ),
    neck=neck,
    head=dict(
        type='MoCoV3Head',
        predictor=dict(neck, in_channels=256, num_layers=2),
        loss=dict(type='CrossEntropyLoss', loss_weight=2 * temperature),
        temperature=temperature,
    ),
)
crop = dict(type='ViewCrop', size=224, scale=(0.08, 1.0))
train_dataloader = dict(
    batch_size=256,  # on 16 GPUs
    dataset=dict(
        data_root='{{$IMAGENET_ROOT:data/imagenet}}/train',
        pipeline=[
            dict(type='LoadImage'),
            dict(
                type='MultiView',
                num_views=[1, 1],
                transforms=[
                    [crop, *_base_.family_colour, _base_.blur1],
                    [crop, *_base_.family_colour, _base_.blur2, _base_.solarize],
                ],
            ),
            dict(type='PackViews'),
        ],
    ),
)
optim_wrapper = dict(
    type='AutoPrecisionOptimWrapper',
    precision='auto',
    constructor='MergedGroupsOptimWrapperConstructor',
    optimizer=dict(type='AdamW', lr=2.4e-3, weight_decay=0.1),  # at a total batch of 4,096
)
auto_scale_lr = dict(base_batch_size=4096, enable=True)
find_unused_parameters = True
sync_bn = 'torch'  # the host's recipe: SyncBN is its neck's default
train_cfg = dict(by_epoch=True, max_epochs=300)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-4, end=40, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', begin=40, convert_to_iter_based=True),
]
