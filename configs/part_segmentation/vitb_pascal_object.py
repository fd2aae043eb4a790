# Pascal-Object: the 16 classes of PASCAL VOC that have parts; background, boat, chair, dining table and sofa are
# ignored. arXiv 2301.11915 has the images of Pascal-Part (VOC 2010); these are those of VOC 2012's segmentation.
#   VOC12_ROOT=… MMC_CHECKPOINT=… bash tools/dist_train.sh configs/part_segmentation/vitb_pascal_object.py 8
_base_ = ['./_base_/vitb16_160k.py']
model = dict(
    data_preprocessor=dict(size=(480, 480), test_cfg=dict(size=(480, 480))),
    backbone=dict(img_size=480),
    decode_head=dict(num_classes=16),
    test_cfg=dict(crop_size=(480, 480), stride=(161, 161)),
)
# fmt: off
classes = [
    'aeroplane', 'bicycle', 'bird', 'bottle', 'bus', 'car', 'cat', 'cow', 'dog', 'horse', 'motorbike', 'person',
    'pottedplant', 'sheep', 'train', 'tvmonitor',
]
# fmt: on
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
            type='PascalVOCDataset',
            data_root='{{$VOC12_ROOT:data/VOCdevkit/VOC2012}}',
            data_prefix=dict(img_path='JPEGImages', seg_map_path='SegmentationClass'),
            ann_file='ImageSets/Segmentation/train.txt',
            metainfo=dict(classes=classes),
            pipeline=train_pipeline,
        ),
    ),
)
val_dataloader = dict(
    dataset=dict(
        type='CheckedSegDataset',
        dataset=dict(
            type='PascalVOCDataset',
            data_root='{{$VOC12_ROOT:data/VOCdevkit/VOC2012}}',
            data_prefix=dict(img_path='JPEGImages', seg_map_path='SegmentationClass'),
            ann_file='ImageSets/Segmentation/val.txt',
            metainfo=dict(classes=classes),
            pipeline=test_pipeline,
        ),
    ),
)
test_dataloader = val_dataloader
