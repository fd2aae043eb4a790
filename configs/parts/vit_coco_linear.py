# Part classification of arXiv 2301.11915 on people in COCO: nose, right wrist, left ankle.
#   COCO_KEYPOINTS_ROOT=/path/to/coco MMC_CHECKPOINT=… python tools/train.py configs/parts/vit_coco_linear.py
_base_ = ['../_base_/part_classification.py']
model = dict(head=dict(num_classes=3))
train_dataloader = dict(
    dataset=dict(
        source=dict(
            type='CocoParts',
            data_root='{{$COCO_KEYPOINTS_ROOT:data/coco}}',
            ann_file='annotations/person_keypoints_train2017.json',
            img_dir='train2017',
            side=0.5,  # as in vit_coco_parts.py, like the next
            neighbours='person',
        )
    )
)
val_dataloader = dict(
    dataset=dict(
        source=dict(
            type='CocoParts',
            data_root='{{$COCO_KEYPOINTS_ROOT:data/coco}}',
            ann_file='annotations/person_keypoints_val2017.json',
            img_dir='val2017',
            side=0.5,  # as in vit_coco_parts.py, like the next
            neighbours='person',
        )
    )
)
test_dataloader = val_dataloader
