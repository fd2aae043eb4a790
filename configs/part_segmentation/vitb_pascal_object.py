# Pascal-Object: the 16 classes of PASCAL VOC that have parts; background, boat, chair, dining table and sofa are
# ignored. arXiv 2301.11915 has the images of Pascal-Part (VOC 2010); these are those of VOC 2012's segmentation.
#   VOC12_ROOT=… MMC_CHECKPOINT=… bash tools/dist_train.sh configs/part_segmentation/vitb_pascal_object.py 8
_base_ = ['./_base_/size_480.py']
model = dict(decode_head=dict(num_classes=16))
# fmt: off
classes = [
    'aeroplane', 'bicycle', 'bird', 'bottle', 'bus', 'car', 'cat', 'cow', 'dog', 'horse', 'motorbike', 'person',
    'pottedplant', 'sheep', 'train', 'tvmonitor',
]
# fmt: on
images = dict(
    type='PascalVOCDataset',
    data_root='{{$VOC12_ROOT:data/VOCdevkit/VOC2012}}',
    data_prefix=dict(img_path='JPEGImages', seg_map_path='SegmentationClass'),
    metainfo=dict(classes=classes),
)
train_dataloader = dict(
    dataset=dict(dataset=dict(images, ann_file='ImageSets/Segmentation/train.txt'))
)
val_dataloader = dict(dataset=dict(dataset=dict(images, ann_file='ImageSets/Segmentation/val.txt')))
test_dataloader = val_dataloader
