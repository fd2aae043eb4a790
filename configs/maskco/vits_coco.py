# MaskCo-style, ViT-S/16, on images of scenes such as COCO train2017: our reading of an abstract and
# a figure, not a reproduction; nothing here can be checked against the paper. Numbers are those of
# MoCo v2, with which the paper compares itself, where they fit a ViT, else those of the other
# methods here, so that runs differ in their losses. Two choices are no keys: the hidden region is
# filled with a mask token, as a ViT has one, and the teacher's keys pass no mask head, since no
# region is hidden from the teacher.
_base_ = [
    '../_base_/models/vits16.py',  # momentum .996 to 1, DINO's; MoCo v2 has .999
    '../_base_/datasets/multicrop_224.py',  # colours and 64 images a GPU are DINO's, as SiT's
    '../_base_/schedules/dino_adamw.py',  # AdamW, for a ViT; MoCo v2's SGD is for a ResNet
    '../_base_/pretrain_runtime.py',
]
model = dict(
    type='MaskCo',
    backbone=dict(type='PretrainedViT', frozen=False),  # a ViT that can hide patches
    # Widths: MoCo v2. Its head has two layers without batch norm; three with it are MMC's.
    head=dict(type='ProjectionMLP', in_channels=384, hidden_channels=2048, out_channels=128),
    # Unknown; two layers of the backbone's kind are ours.
    mask_head=dict(type='MaskPredictionHead', in_channels=384, num_heads=6, num_layers=2),
    queue_length=65536,  # MoCo v2
    temperature=0.2,  # MoCo v2
    bins=7,  # detectors' usual; unknown
    max_iou=0.3,  # unknown; regions that share less are another thing
)
crop = dict(type='ViewCrop', size=224, scale=(0.2, 1.0))  # MoCo v2
train_dataloader = dict(
    dataset=dict(
        data_root='{{$MMC_IMAGES:data/coco/train2017}}',
        pipeline=[
            dict(type='LoadImage'),
            dict(
                type='RegionViews',
                num_regions=4,  # unknown
                side=(0.3, 0.8),  # unknown
                min_overlap=0.3,  # unknown
                patch_size=16,
                transforms=[
                    [crop, *_base_.family_colour, _base_.blur1],
                    [crop, *_base_.family_colour, _base_.blur2, _base_.solarize],
                ],
            ),
            dict(type='PackViews'),
        ],
    ),
)
train_cfg = dict(max_epochs=200)  # MoCo v2
