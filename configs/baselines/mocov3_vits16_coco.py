# Table 1, the row of MoCo-v3, ViT-S/16: the release's base encoder.
#   tools/test.sh configs/baselines/mocov3_vits16_coco.py vit-s-300ep.pth.tar
_base_ = ['../zero_shot/vits_coco.py']
model = dict(backbone=dict(which='student'))
