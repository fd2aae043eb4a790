# MAE, ViT-S/16, ImageNet-1K, 800 epochs: mmpretrain's method and its recipe
# (mae_vit-base-p16_8xb512-amp-coslr-800e_in1k.py, there ViT-B), on our crops and monitor.
_base_ = ['../_base_/datasets/views_224.py', '../_base_/pretrain_runtime.py']
model = dict(
    type='ViewMAE',
    data_preprocessor=dict(
        mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], to_rgb=True, non_blocking=True
    ),
    backbone=dict(type='MAEViT', arch='deit-small', img_size=224, patch_size=16, mask_ratio=0.75),
    neck=dict(
        type='MAEPretrainDecoder',
        patch_size=16,
        embed_dim=384,
        decoder_embed_dim=512,
        decoder_depth=8,
        decoder_num_heads=16,
        mlp_ratio=4.0,
    ),
    head=dict(
        type='MAEPretrainHead',
        norm_pix=True,
        patch_size=16,
        loss=dict(type='PixelReconstructionLoss', criterion='L2'),
    ),
    init_cfg=[
        dict(type='Xavier', layer='Linear', distribution='uniform'),
        dict(type='Constant', layer='LayerNorm', val=1.0, bias=0.0),
    ],
)
train_dataloader = dict(
    batch_size=512,  # on 8 GPUs
    dataset=dict(
        data_root='{{$IMAGENET_ROOT:data/imagenet}}/train',
        pipeline=[
            dict(type='LoadImage'),
            dict(
                type='MultiView',
                num_views=[1],
                transforms=[[_base_.crop, dict(type='ViewFlip', prob=0.5)]],
            ),
            dict(type='PackViews', num_views=1),
        ],
    ),
)
optim_wrapper = dict(
    type='AutoPrecisionOptimWrapper',
    precision='auto',
    constructor='MergedGroupsOptimWrapperConstructor',
    optimizer=dict(type='AdamW', lr=1.5e-4, betas=(0.9, 0.95), weight_decay=0.05),  # for 256
    paramwise_cfg=dict(
        custom_keys=dict(
            ln=dict(decay_mult=0.0),
            bias=dict(decay_mult=0.0),
            pos_embed=dict(decay_mult=0.0),
            mask_token=dict(decay_mult=0.0),
            cls_token=dict(decay_mult=0.0),
        )
    ),
)
auto_scale_lr = dict(base_batch_size=256, enable=True)
train_cfg = dict(by_epoch=True, max_epochs=800)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-4, end=40, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', begin=40, convert_to_iter_based=True),
]
