# ADE20K-Object: the 59 classes of SceneParsing that have parts, in the order of arXiv 2301.11915; all else is ignored.
#   ADE20K_ROOT=… MMC_CHECKPOINT=… bash tools/dist_train.sh configs/part_segmentation/vitb_ade20k_object.py 8
_base_ = ['./_base_/size_512.py']
model = dict(decode_head=dict(num_classes=59))
# fmt: off
classes = [
    'building', 'sky', 'tree', 'bed ', 'windowpane', 'cabinet', 'person', 'door', 'table', 'plant', 'chair', 'car',
    'sofa', 'shelf', 'house', 'armchair', 'seat', 'fence', 'desk', 'wardrobe', 'lamp', 'bathtub', 'column',
    'chest of drawers', 'sink', 'skyscraper', 'refrigerator', 'boat', 'stairs', 'pool table', 'stairway', 'bookcase',
    'blind', 'coffee table', 'toilet', 'stove', 'computer', 'swivel chair', 'bus', 'light', 'truck', 'chandelier',
    'airplane', 'ottoman', 'bottle', 'van', 'washer', 'stool', 'minibike', 'oven', 'microwave', 'dishwasher', 'screen',
    'hood', 'sconce', 'traffic light', 'fan', 'glass', 'clock',
]
# fmt: on
images = dict(
    type='ADE20KDataset',
    data_root='{{$ADE20K_ROOT:data/ade/ADEChallengeData2016}}',
    metainfo=dict(classes=classes),
)
train_dataloader = dict(
    dataset=dict(
        dataset=dict(
            images,
            data_prefix=dict(img_path='images/training', seg_map_path='annotations/training'),
        )
    )
)
val_dataloader = dict(
    dataset=dict(
        dataset=dict(
            images,
            data_prefix=dict(img_path='images/validation', seg_map_path='annotations/validation'),
        )
    )
)
test_dataloader = val_dataloader
