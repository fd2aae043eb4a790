# Part classification of arXiv 2301.11915 on birds in CUB-200-2011: right eye, right leg, left wing, tail.
#   CUB_ROOT=/path/to/CUB_200_2011 MMC_CHECKPOINT=… python tools/train.py configs/parts/vit_cub_linear.py
_base_ = ['../_base_/part_classification.py']
model = dict(head=dict(num_classes=4))
train_dataloader = dict(
    dataset=dict(
        source=dict(
            type='CubParts',
            data_root='{{$CUB_ROOT:data/CUB_200_2011}}',
            split='train',
            side=0.5,  # as in vit_cub_parts.py
        )
    )
)
val_dataloader = dict(
    dataset=dict(
        source=dict(
            type='CubParts',
            data_root='{{$CUB_ROOT:data/CUB_200_2011}}',
            split='test',
            side=0.5,  # as in vit_cub_parts.py
        )
    )
)
test_dataloader = val_dataloader
