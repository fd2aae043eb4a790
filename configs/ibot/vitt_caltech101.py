# iBOT with the network, the data, the schedule and the batch of configs/mmc/vitt_caltech101.py, and
# the views and the head of configs/dino/vitt_caltech101.py.
_base_ = ['../dino/vitt_caltech101.py']
model = dict(
    type='IBOT',
    backbone=dict(type='PretrainedViT', frozen=False),
    patch_temperature=(0.04, 0.07),
)
train_dataloader = dict(
    dataset=dict(
        pipeline=[
            dict(type='LoadImage'),
            _base_.multicrop_views,
            dict(type='BlockMask', patch_size=12, ratios=[(0.0, 0.0), (0.1, 0.5)], shape='block'),
            dict(type='PackViews'),
        ]
    )
)
