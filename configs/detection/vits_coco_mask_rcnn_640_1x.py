# Mask R-CNN with a trained ViT-S/16 on COCO at 640², 12 epochs. _base_/ explains the keys.
#   COCO_ROOT=… MMC_CHECKPOINT=… bash tools/dist_train.sh configs/detection/vits_coco_mask_rcnn_640_1x.py 8
_base_ = [
    'mmdet::_base_/models/mask-rcnn_r50_fpn.py',
    './_base_/vit.py',
    './_base_/coco_640.py',
    './_base_/schedule_1x.py',
    './_base_/runtime.py',
]
model = _base_.vits16
