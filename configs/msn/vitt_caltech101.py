# MSN, retuned, with the network, the data, the schedule and the batch of
# configs/mmc/vitt_caltech101.py, and the views of configs/dino/vitt_caltech101.py.
_base_ = ['../mmc/vitt_caltech101.py']
model = dict(
    _delete_=True,
    type='MSN',
    data_preprocessor=_base_.model.data_preprocessor,
    backbone=dict(_base_.model.backbone, type='PretrainedViT', frozen=False),
    momentum=_base_.model.momentum,
    head=dict(
        type='ProjectionMLP',
        in_channels=192,
        hidden_channels=384,
        out_channels=64,
        last_norm=False,
    ),
    num_prototypes=256,
    sinkhorn_rounds=0,
    entropy_weight=4.0,
)
train_dataloader = dict(
    dataset=dict(
        pipeline=[
            dict(type='LoadImage'),
            _base_.multicrop_views,
            dict(type='PatchDrop', patch_size=12, ratio=0.2),
            dict(type='PackViews'),
        ]
    )
)
optim_wrapper = dict(paramwise_cfg=dict(custom_keys=dict(prototypes=dict(decay_mult=0.0))))
