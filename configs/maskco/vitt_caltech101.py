# MaskCo-style (see vits_coco.py) with the network, the data, the schedule and the batch of
# configs/mmc/vitt_caltech101.py.
_base_ = ['../mmc/vitt_caltech101.py']
model = dict(
    _delete_=True,
    type='MaskCo',
    data_preprocessor=_base_.model.data_preprocessor,
    backbone=dict(_base_.model.backbone, type='PretrainedViT', frozen=False),
    momentum=_base_.model.momentum,
    head=dict(type='ProjectionMLP', in_channels=192, hidden_channels=384, out_channels=64),
    mask_head=dict(type='MaskPredictionHead', in_channels=192, num_heads=3, num_layers=2),
    queue_length=2048,  # fewer than the images
    bins=4,  # the side of the grid
)
train_dataloader = dict(
    dataset=dict(
        pipeline=[
            dict(type='LoadImage'),
            dict(
                type='RegionViews',
                patch_size=12,
                side=(0.5, 1.0),  # of a grid of 4×4: no region is smaller than a patch
                min_overlap=0.5,
                transforms=[_base_.view1, _base_.view2],
            ),
            dict(type='PackViews'),
        ]
    )
)
