# LIP: 19 parts of people and their clothes; the background is ignored, as in arXiv 2301.11915.
#   LIP_ROOT=… MMC_CHECKPOINT=… bash tools/dist_train.sh configs/part_segmentation/vitb_lip.py 8
_base_ = ['./_base_/size_320.py']
model = dict(decode_head=dict(num_classes=19))
# fmt: off
classes = [
    'Hat', 'Hair', 'Glove', 'Sunglasses', 'UpperClothes', 'Dress', 'Coat', 'Socks', 'Pants', 'Jumpsuits', 'Scarf',
    'Skirt', 'Face', 'Left-arm', 'Right-arm', 'Left-leg', 'Right-leg', 'Left-shoe', 'Right-shoe',
]
# fmt: on
images = dict(
    type='LIPDataset',
    data_root='{{$LIP_ROOT:data/LIP}}',
    metainfo=dict(classes=classes),
)
train_dataloader = dict(
    dataset=dict(
        dataset=dict(
            images,
            data_prefix=dict(
                img_path='TrainVal_images/train_images',
                seg_map_path='TrainVal_parsing_annotations/train_segmentations',
            ),
        )
    )
)
val_dataloader = dict(
    dataset=dict(
        dataset=dict(
            images,
            data_prefix=dict(
                img_path='TrainVal_images/val_images',
                seg_map_path='TrainVal_parsing_annotations/val_segmentations',
            ),
        )
    )
)
test_dataloader = val_dataloader
