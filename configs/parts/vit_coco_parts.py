# Part retrieval of arXiv 2301.11915 on people in COCO: nose, right wrist, left ankle.
#   COCO_KEYPOINTS_ROOT=/path/to/coco tools/test.sh configs/parts/vit_coco_parts.py CHECKPOINT [GPUS]
_base_ = '../_base_/parts.py'
test_dataloader = dict(
    dataset=dict(
        sets=dict(
            database=dict(
                type='CocoParts',
                data_root='{{$COCO_KEYPOINTS_ROOT:data/coco}}',
                ann_file='annotations/person_keypoints_train2017.json',
                img_dir='train2017',
                side=0.5,  # of the distance to the nearest other keypoint [release]; 1 in the text
                neighbours='person',  # as the release does in effect; 'image' in the text
            )
        )
    )
)
