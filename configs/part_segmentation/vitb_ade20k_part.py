# ADE20K-Part: label maps of one's own with 209 parts, images/{training,validation}/*.jpg and annotations/…/*.png of
# the same names; 0 is ignored, parts are 1 to 209. Which 209 of ADE20K's parts arXiv 2301.11915 took is not known.
#   ADE20K_PART_ROOT=… MMC_CHECKPOINT=… bash tools/dist_train.sh configs/part_segmentation/vitb_ade20k_part.py 8
_base_ = ['./_base_/vitb16_160k.py']
model = dict(decode_head=dict(num_classes=209))
classes = [f'part {number}' for number in range(1, 210)]
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations'),
    dict(type='RandomResize', scale=(2048, 512), ratio_range=(0.5, 2.0), keep_ratio=True),
    dict(type='RandomCrop', crop_size=(512, 512), cat_max_ratio=0.75),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PhotoMetricDistortion'),
    dict(type='PackSegInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(2048, 512), keep_ratio=True),
    dict(type='LoadAnnotations'),  # after Resize: labels keep their size
    dict(type='PackSegInputs'),
]
train_dataloader = dict(
    dataset=dict(
        type='CheckedSegDataset',
        dataset=dict(
            type='BaseSegDataset',
            data_root='{{$ADE20K_PART_ROOT:data/ade20k_part}}',
            data_prefix=dict(img_path='images/training', seg_map_path='annotations/training'),
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
            data_root='{{$ADE20K_PART_ROOT:data/ade20k_part}}',
            data_prefix=dict(img_path='images/validation', seg_map_path='annotations/validation'),
            img_suffix='.jpg',
            seg_map_suffix='.png',
            reduce_zero_label=True,
            metainfo=dict(classes=classes),
            pipeline=test_pipeline,
        ),
    ),
)
test_dataloader = val_dataloader
