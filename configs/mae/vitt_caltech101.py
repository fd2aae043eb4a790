# MAE, mmpretrain's, with the network, the data, the schedule and the batch of
# configs/mmc/vitt_caltech101.py; crops and flips are its only augmentation. The decoder's size is
# ours.
_base_ = ['../mmc/vitt_caltech101.py']
model = dict(
    _delete_=True,
    type='ViewMAE',
    data_preprocessor=_base_.model.data_preprocessor,
    backbone=dict(
        type='MAEViT',
        arch=_base_.model.backbone.arch,
        img_size=48,
        patch_size=12,
        mask_ratio=0.75,
    ),
    neck=dict(
        type='MAEPretrainDecoder',
        num_patches=16,
        patch_size=12,
        embed_dim=192,
        decoder_embed_dim=96,
        decoder_depth=2,
        decoder_num_heads=3,
        mlp_ratio=4.0,
    ),
    head=dict(
        type='MAEPretrainHead',
        norm_pix=True,
        patch_size=12,
        loss=dict(type='PixelReconstructionLoss', criterion='L2'),
    ),
    init_cfg=[
        dict(type='Xavier', layer='Linear', distribution='uniform'),
        dict(type='Constant', layer='LayerNorm', val=1.0, bias=0.0),
    ],
)
train_dataloader = dict(
    dataset=dict(
        pipeline=[
            dict(type='LoadImage'),
            dict(
                type='MultiView',
                num_views=[1],
                transforms=[[_base_.crop, dict(type='ViewFlip', prob=0.5)]],
            ),
            dict(type='PackViews', num_views=1),
        ]
    )
)
default_hooks = dict(features=dict(networks=['student']))  # it has no teacher
