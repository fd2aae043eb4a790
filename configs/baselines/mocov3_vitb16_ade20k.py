# Table 3, the row of MoCo-v3, ViT-B/16, on ADE20K: the release's base encoder.
#   MMC_CHECKPOINT=vit-b-300ep.pth.tar \
#       bash tools/dist_train.sh configs/baselines/mocov3_vitb16_ade20k.py 4
_base_ = ['../segmentation/vitb_ade20k_linear_40k.py']
model = dict(backbone=dict(which='student'))
