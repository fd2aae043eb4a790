# LIP: 19 parts of people and their clothes; the background is ignored, as in arXiv 2301.11915.
#   LIP_ROOT=… MMC_CHECKPOINT=… bash tools/dist_train.sh configs/part_segmentation/vitb_lip.py 8
_base_ = ['./_base_/vitb16_160k.py']
model = dict(
    data_preprocessor=dict(size=(320, 320), test_cfg=dict(size=(320, 320))),
    backbone=dict(img_size=320),
    decode_head=dict(num_classes=19),
    test_cfg=dict(crop_size=(320, 320), stride=(161, 161)),
)
# fmt: off
classes = [
    'Hat', 'Hair', 'Glove', 'Sunglasses', 'UpperClothes', 'Dress', 'Coat', 'Socks', 'Pants', 'Jumpsuits', 'Scarf',
    'Skirt', 'Face', 'Left-arm', 'Right-arm', 'Left-leg', 'Right-leg', 'Left-shoe', 'Right-shoe',
]
# fmt: on
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations'),
    dict(type='RandomResize', scale=(1024, 320), ratio_range=(0.5, 2.0), keep_ratio=True),
    dict(type='RandomCrop', crop_size=(320, 320), cat_max_ratio=0.75),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PhotoMetricDistortion'),
    dict(type='PackSegInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(4096, 320), keep_ratio=True),
    dict(type='LoadAnnotations'),  # after Resize: labels keep their size
    dict(type='PackSegInputs'),
]
train_dataloader = dict(
    dataset=dict(
        type='CheckedSegDataset',
        dataset=dict(
            type='LIPDataset',
            data_root='{{$LIP_ROOT:data/LIP}}',
            data_prefix=dict(
                img_path='TrainVal_images/train_images',
                seg_map_path='TrainVal_parsing_annotations/train_segmentations',
            ),
            metainfo=dict(classes=classes),
            pipeline=train_pipeline,
        ),
    ),
)
val_dataloader = dict(
    dataset=dict(
        type='CheckedSegDataset',
        dataset=dict(
            type='LIPDataset',
            data_root='{{$LIP_ROOT:data/LIP}}',
            data_prefix=dict(
                img_path='TrainVal_images/val_images',
                seg_map_path='TrainVal_parsing_annotations/val_segmentations',
            ),
            metainfo=dict(classes=classes),
            pipeline=test_pipeline,
        ),
    ),
)
test_dataloader = val_dataloader
