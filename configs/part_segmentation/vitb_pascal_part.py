# Pascal-Part: label maps of one's own with 193 parts of 16 classes, img/{train,val}/*.jpg and ann/{train,val}/*.png of
# the same names; 0 is ignored, parts are 1 to 193.
#   PASCAL_PART_ROOT=… MMC_CHECKPOINT=… bash tools/dist_train.sh configs/part_segmentation/vitb_pascal_part.py 8
_base_ = ['./_base_/vitb16_160k.py']
model = dict(
    data_preprocessor=dict(size=(480, 480), test_cfg=dict(size=(480, 480))),
    backbone=dict(img_size=480),
    decode_head=dict(num_classes=193),
    test_cfg=dict(crop_size=(480, 480), stride=(161, 161)),
)
classes = [f'part {number}' for number in range(1, 194)]
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations'),
    dict(type='RandomResize', scale=(520, 520), ratio_range=(0.5, 2.0), keep_ratio=True),
    dict(type='RandomCrop', crop_size=(480, 480), cat_max_ratio=0.75),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PhotoMetricDistortion'),
    dict(type='PackSegInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(3840, 480), keep_ratio=True),
    dict(type='LoadAnnotations'),  # after Resize: labels keep their size
    dict(type='PackSegInputs'),
]
train_dataloader = dict(
    dataset=dict(
        type='CheckedSegDataset',
        dataset=dict(
            type='BaseSegDataset',
            data_root='{{$PASCAL_PART_ROOT:data/pascal_part}}',
            data_prefix=dict(img_path='img/train', seg_map_path='ann/train'),
            img_suffix='.jpg',
            seg_map_suffix='.png',
            reduce_zero_label=True,
            metainfo=dict(classes=classes),
            pipeline=train_pipeline,
        ),
    ),
)
val_dataloader = dict(
    dataset=dict(
        type='CheckedSegDataset',
        dataset=dict(
            type='BaseSegDataset',
            data_root='{{$PASCAL_PART_ROOT:data/pascal_part}}',
            data_prefix=dict(img_path='img/val', seg_map_path='ann/val'),
            img_suffix='.jpg',
            seg_map_suffix='.png',
            reduce_zero_label=True,
            metainfo=dict(classes=classes),
            pipeline=test_pipeline,
        ),
    ),
)
test_dataloader = val_dataloader
