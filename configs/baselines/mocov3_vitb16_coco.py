# Table 1, the row of MoCo-v3, ViT-B/16: the release's base encoder.
#   tools/test.sh configs/baselines/mocov3_vitb16_coco.py vit-b-300ep.pth.tar
_base_ = ['../zero_shot/vitb_coco.py']
model = dict(backbone=dict(which='student'))
