# Table 1, the rows of MoCo-v3: the release's base encoder.
#   tools/test.sh configs/baselines/mocov3_coco.py vit-b-300ep.pth.tar
_base_ = ['../zero_shot/vit_coco.py']
model = dict(backbone=dict(which='student'))
