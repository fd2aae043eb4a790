# SiT, ViT-S/16, ImageNet-1K, 801 epochs on 4 GPUs (README, Sara-Ahmed/SiT).
#   tools/dist_train.sh configs/sit/vits_in1k_800e.py 4
_base_ = [
    '../_base_/models/vits16.py',
    '../_base_/datasets/multicrop_224.py',
    '../_base_/schedules/dino_adamw.py',
    '../_base_/pretrain_runtime.py',
]
model = dict(
    type='SiT',
    rec_head=dict(
        type='PixelReconstructionHead',
        in_channels=384,
        patch_size=16,
        hidden_channels=384,  # release: D
        hidden_layers=3,  # release
    ),
    cls_head=dict(
        type='GlobalContrastHead',
        in_channels=384,
        hidden_channels=4096,  # release
        out_channels=256,  # release
        act_cfg=[dict(type='ReLU'), dict(type='GELU')],  # release
        temperature=0.2,  # release
    ),
    rec_weight=1.0,  # release; about 5 on small data
    fill='zeros',  # release
)
crop = dict(type='ViewCrop', size=224, scale=(0.2, 1.0))  # release
train_dataloader = dict(
    dataset=dict(
        data_root='{{$IMAGENET_ROOT:data/imagenet}}/train',
        pipeline=[
            dict(type='LoadImage'),
            dict(
                type='MultiView',
                num_views=[1, 1],  # release: no local crops
                transforms=[
                    [crop, *_base_.family_colour, _base_.blur1],
                    [crop, *_base_.family_colour, _base_.blur2, _base_.solarize],
                ],
            ),
            # release: drop_perc .5, alien .3, blocks on any pixel
            dict(type='GMMLMask', noise_ratio=0.5, alien_ratio=0.3, alien_prob=0.5, align=1),
            dict(type='PackViews'),
        ],
    ),
)
sync_bn = 'torch'  # release: the heads' statistics are those of all GPUs
train_cfg = dict(max_epochs=801)
# release: .04 to .1
param_scheduler = [
    *_base_.param_scheduler[:2],
    dict(type='CosineWeightDecay', eta_min=0.1, by_epoch=True, convert_to_iter_based=True),
]
