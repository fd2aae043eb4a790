# The same, a row to compare with: ViT-S/16 with random weights.
#   COCO_ROOT=/path/to/coco tools/test.sh configs/discovery/random_vits_coco.py none
_base_ = 'vit_coco.py'
checkpoint_key = None
model = dict(
    seed=0,
    backbone=dict(
        _delete_=True,
        type='PretrainedViT',
        arch='deit-small',
        img_size=224,
        patch_size=16,
        out_type='raw',
    ),
)
