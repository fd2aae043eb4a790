# Table 3, the row of MoCo-v3, ViT-B/16, on VOC12-aug: the release's base encoder.
#   MMC_CHECKPOINT=vit-b-300ep.pth.tar \
#       bash tools/dist_train.sh configs/baselines/mocov3_vitb16_voc12aug.py 4
_base_ = ['../segmentation/vitb_voc12aug_linear_40k.py']
model = dict(backbone=dict(which='student'))
