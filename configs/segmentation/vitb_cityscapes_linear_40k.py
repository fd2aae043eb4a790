# Table 3 of the paper: frozen ViT-B/16, linear head, Cityscapes, on 4 GPUs. _base_/ explains the keys.
#   MMC_CHECKPOINT=… bash tools/dist_train.sh configs/segmentation/vitb_cityscapes_linear_40k.py 4
_base_ = ['./_base_/cityscapes.py']
model = _base_.vitb16
