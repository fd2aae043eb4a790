# DINO, ViT-S/16, ImageNet-1K, 100 epochs on 8 GPUs: the release's defaults, for which it reports
# k-NN 69.3 and linear 74.0 (README, facebookresearch/dino).
#   tools/dist_train.sh configs/dino/vits_in1k_100e.py 8
_base_ = [
    '../_base_/models/vits16.py',
    '../_base_/datasets/multicrop_224.py',
    '../_base_/schedules/dino_adamw.py',
    '../_base_/pretrain_runtime.py',
]
model = dict(
    type='DINO',
    head=dict(
        type='PrototypeHead',
        in_channels=384,
        num_prototypes=65536,  # release
        hidden_channels=2048,  # release
        out_channels=256,  # release
    ),
    temperature=0.1,  # release
    teacher_temperature=0.04,  # release: constant by default
)
global_crop = dict(type='ViewCrop', size=224, scale=(0.4, 1.0))  # release
local_crop = dict(type='ViewCrop', size=96, scale=(0.05, 0.4))  # release
train_dataloader = dict(
    batch_size=64,  # release, a GPU
    dataset=dict(
        data_root='{{$IMAGENET_ROOT:data/imagenet}}/train',
        pipeline=[
            dict(type='LoadImage'),
            dict(
                type='MultiView',
                num_views=[1, 1, 8],  # release
                transforms=[
                    [global_crop, *_base_.family_colour, _base_.blur1],
                    [global_crop, *_base_.family_colour, _base_.blur2, _base_.solarize],
                    [local_crop, *_base_.family_colour, _base_.blur_local],
                ],
            ),
            dict(type='PackViews'),
        ],
    ),
)
train_cfg = dict(max_epochs=100)
default_hooks = dict(freeze=dict(type='FreezeHook', word='last_layer', epochs=1))  # release
