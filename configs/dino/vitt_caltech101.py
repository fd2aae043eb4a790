# DINO with the network, the data, the schedule and the batch of configs/mmc/vitt_caltech101.py;
# views of 48² and four local crops of 24². Sizes of the head are ours.
_base_ = ['../mmc/vitt_caltech101.py']
model = dict(
    _delete_=True,
    type='DINO',
    data_preprocessor=_base_.model.data_preprocessor,
    backbone=_base_.model.backbone,
    momentum=_base_.model.momentum,
    head=dict(
        type='PrototypeHead',
        in_channels=192,
        num_prototypes=1024,
        hidden_channels=384,
        out_channels=64,
    ),
    teacher_temperature=(0.04, 0.07),
    warmup_epochs=10,
)
train_dataloader = dict(
    dataset=dict(pipeline=[dict(type='LoadImage'), _base_.multicrop_views, dict(type='PackViews')])
)
default_hooks = dict(freeze=dict(type='FreezeHook', word='last_layer', epochs=1))
