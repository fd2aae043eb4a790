# Table 1, a row to compare with: the mean colour of each patch of 16 × 16 pixels as its feature.
#   tools/test.sh configs/zero_shot/colour_coco.py none
_base_ = 'vit_coco.py'
checkpoint_key = None
model = dict(backbone=dict(_delete_=True, type='PatchColour', patch_size=16))
