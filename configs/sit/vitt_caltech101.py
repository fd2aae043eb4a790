# SiT with the network, the data, the views, the schedule and the batch of
# configs/mmc/vitt_caltech101.py.
_base_ = ['../mmc/vitt_caltech101.py']
model = dict(
    _delete_=True,
    type='SiT',
    data_preprocessor=_base_.model.data_preprocessor,
    backbone=_base_.model.backbone,
    momentum=_base_.model.momentum,
    rec_head=dict(
        type='PixelReconstructionHead',
        in_channels=192,
        patch_size=12,
        hidden_channels=192,
        hidden_layers=3,
    ),
    cls_head=_base_.model.cls_head,
)
train_dataloader = dict(
    dataset=dict(
        pipeline=[
            dict(type='LoadImage'),
            dict(type='MultiView', num_views=[1, 1], transforms=[_base_.view1, _base_.view2]),
            dict(type='GMMLMask', noise_ratio=0.5, alien_ratio=0.3, alien_prob=0.5, align=12),
            dict(type='PackViews'),
        ]
    )
)
