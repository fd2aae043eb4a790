# MC-SSL, ViT-S/16, ImageNet-1K, 800 epochs on 8 GPUs: finetuned 82.4 (README, Sara-Ahmed/MCSSL).
#   tools/dist_train.sh configs/mcssl/vits_in1k_800e.py 8
_base_ = [
    '../_base_/models/vits16.py',
    '../_base_/datasets/multicrop_224.py',
    '../_base_/schedules/dino_adamw.py',
    '../_base_/pretrain_runtime.py',
]
model = dict(
    type='MCSSL',
    head=dict(
        type='PrototypeHead',
        in_channels=384,
        num_prototypes=8192,  # release
        hidden_channels=2048,  # release
        out_channels=256,  # release
        separate_patches=True,  # release: one MLP, two last layers
    ),
    rec_head=dict(
        type='PixelReconstructionHead',
        in_channels=384,
        patch_size=16,
        hidden_channels=384,  # release: D
        hidden_layers=2,  # release
        squared=True,  # release: mean squared error
    ),
    fill='zeros',  # release
    temperature=0.1,  # release
    teacher_temperature=(0.04, 0.07),  # release
    warmup_epochs=30,  # release
)
train_dataloader = dict(
    batch_size=64,  # release, a GPU
    dataset=dict(
        data_root='{{$IMAGENET_ROOT:data/imagenet}}/train',
        pipeline=[
            dict(type='LoadImage'),
            _base_.views,
            # release: drop_perc .5, alien .3, blocks on any pixel
            dict(type='GMMLMask', noise_ratio=0.5, alien_ratio=0.3, alien_prob=0.5, align=1),
            dict(type='PackViews'),
        ],
    ),
)
train_cfg = dict(max_epochs=800)
default_hooks = dict(
    # release: the class token's last layer alone, its name for that of the patches is not caught
    freeze=dict(type='FreezeHook', word='head.last_layer', epochs=1),
)
