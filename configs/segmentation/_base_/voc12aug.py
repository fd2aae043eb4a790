# PASCAL VOC 2012 with the labels of SBD (10,582 training images), 21 classes. Crops of 512², flip and
# photometric distortion: the paper's Table 3; the sizes before the crop and the two lists are those
# of mmsegmentation's pascal_voc12_aug.py.
_base_ = ['./vits16.py', './schedule_40k.py', './runtime.py', './crops_512.py']
model = dict(decode_head=dict(num_classes=21))
data_root = '{{$VOC12_ROOT:data/VOCdevkit/VOC2012}}'
train = dict(
    type='CheckedSegDataset',
    dataset=dict(
        type='PascalVOCDataset',
        data_root=data_root,
        data_prefix=dict(img_path='JPEGImages', seg_map_path='SegmentationClass'),
        ann_file='ImageSets/Segmentation/train.txt',
        pipeline=_base_.train_pipeline,
    ),
)
augmented = dict(
    type='CheckedSegDataset',
    dataset=dict(
        type='PascalVOCDataset',
        data_root=data_root,
        data_prefix=dict(img_path='JPEGImages', seg_map_path='SegmentationClassAug'),
        ann_file='ImageSets/Segmentation/aug.txt',
        pipeline=_base_.train_pipeline,
    ),
)
train_dataloader = dict(
    dataset=dict(type='ConcatDataset', datasets=[train, augmented]),
)
val_dataloader = dict(
    dataset=dict(
        type='CheckedSegDataset',
        dataset=dict(
            type='PascalVOCDataset',
            data_root=data_root,
            data_prefix=dict(img_path='JPEGImages', seg_map_path='SegmentationClass'),
            ann_file='ImageSets/Segmentation/val.txt',
            pipeline=_base_.test_pipeline,
        ),
    ),
)
test_dataloader = val_dataloader
