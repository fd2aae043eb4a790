# MC-SSL with the network, the data, the schedule and the batch of configs/mmc/vitt_caltech101.py,
# and the views and the head of configs/dino/vitt_caltech101.py.
_base_ = ['../dino/vitt_caltech101.py']
model = dict(
    type='MCSSL',
    head=dict(separate_patches=True),
    rec_head=dict(
        type='PixelReconstructionHead',
        in_channels=192,
        patch_size=12,
        hidden_channels=192,
        squared=True,
    ),
)
train_dataloader = dict(
    dataset=dict(
        pipeline=[
            dict(type='LoadImage'),
            _base_.multicrop_views,
            dict(type='GMMLMask', noise_ratio=0.5, alien_ratio=0.3, alien_prob=0.5, align=12),
            dict(type='PackViews'),
        ]
    )
)
default_hooks = dict(freeze=dict(word='head.last_layer'))
